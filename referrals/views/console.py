"""Billing Management: Refer a Friend and Coupons.

The Coupons pages are here and not in credits, which does not know why a reward is that much, or what a coupon buys.
"""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.keyset import Place, UnableToReadPlace
from accounts.models import User
from credits.models import Coupon
from credits.queries import Shelf
from referrals.models import Referral
from referrals.queries.console import friend_page, refer_page
from referrals.queries.coupons import coupon_page, coupons_page


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


@require_safe
@never_cache
@login_required
def coupons(request: HttpRequest) -> HttpResponse:
    """The customer's balance, what is owed back, and the coupons of one shelf."""
    now = clock.now()
    page = coupons_page(customer_id=_reader(request), shelf=_shelf(request), after=_place(request), now=now)
    context = {"page": page, "shelves": page.balance.shelves.items(), "now": now, "section": "coupons"}
    return render(request, "referrals/console/coupons.html", context)


@require_safe
@never_cache
@login_required
def coupon(request: HttpRequest, coupon_id: int) -> HttpResponse:
    """One coupon: why it is that much, what it buys, and every movement on it."""
    now = clock.now()
    try:
        page = coupon_page(customer_id=_reader(request), coupon_id=coupon_id, after=_entry(request), now=now)
    except Coupon.DoesNotExist as fault:
        raise Http404 from fault
    context = {"page": page, "coupon": page.coupon, "now": now, "section": "coupons", "current": "true"}
    return render(request, "referrals/console/coupon.html", context)


def _reader(request: HttpRequest) -> int:
    assert isinstance(request.user, User)  # login_required
    return request.user.pk


def _place(request: HttpRequest) -> Place | None:
    try:
        return Place.parse(request.GET.get("after", ""))
    except UnableToReadPlace as fault:
        raise BadRequest("after is no place in this list") from fault


def _entry(request: HttpRequest) -> int:
    text = request.GET.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadRequest("after is no entry")
    return int(text)


def _shelf(request: HttpRequest) -> Shelf:
    try:
        return Shelf(request.GET.get("show", Shelf.USABLE))
    except ValueError as fault:
        raise BadRequest("show is none of the tabs") from fault
