"""Billing Management: Refer a Friend."""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.keyset import Place, UnableToReadPlace
from accounts.models import User
from referrals.models import Referral
from referrals.queries.console import friend_page, refer_page


@require_safe
@never_cache
@login_required
def refer(request: HttpRequest) -> HttpResponse:
    """The customer's link, or the way to it; figures and friends."""
    now = clock.now()
    page = refer_page(customer_id=_reader(request), after=_place(request), now=now)
    return render(request, "referrals/console/refer.html", {"page": page, "now": now, "section": "refer"})


@require_safe
@never_cache
@login_required
def friend(request: HttpRequest, referral_id: int) -> HttpResponse:
    """One friend's stage, and what was earned for them and why."""
    now = clock.now()
    try:
        page = friend_page(customer_id=_reader(request), referral_id=referral_id, now=now)
    except Referral.DoesNotExist as fault:
        raise Http404 from fault
    context = {"page": page, "referral": page.friend.referral, "now": now, "section": "refer", "current": "true"}
    return render(request, "referrals/console/friend.html", context)


def _reader(request: HttpRequest) -> int:
    assert isinstance(request.user, User)  # login_required
    return request.user.pk


def _place(request: HttpRequest) -> Place | None:
    try:
        return Place.parse(request.GET.get("after", ""))
    except UnableToReadPlace as fault:
        raise BadRequest("after is no place in this list") from fault
