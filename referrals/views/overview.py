"""Billing Management: Overview."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """Credit, what is on its way, what is owed, and the next step."""
    return render(request, "referrals/console/overview.html", {"section": "overview"})
