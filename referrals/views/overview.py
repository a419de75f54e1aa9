"""Billing Management: Overview."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.asked import reader_id
from referrals.queries.overview import overview_page


@require_safe
@never_cache
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """Credit, what is on its way, what is owed, and the next step."""
    now = clock.now()
    page = overview_page(customer_id=reader_id(request), now=now)
    return render(request, "referrals/console/overview.html", {"page": page, "now": now, "section": "overview"})
