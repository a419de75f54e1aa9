"""Account: Verification."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
@login_required
def verification(request: HttpRequest) -> HttpResponse:
    """How far identity verification has come, and the form to submit it."""
    return render(request, "accounts/console/verification.html", {"section": "verification"})
