"""Billing Management: Coupons.

They are here and not in credits, which does not know why a reward is that much, or what a coupon buys.
"""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.asked import asked_place, reader_id
from credits.models import Coupon
from credits.queries import Shelf
from referrals.queries.coupons import coupon_page, coupons_page


@require_safe
@never_cache
@login_required
def coupons(request: HttpRequest) -> HttpResponse:
    """The customer's balance, what is owed back, and the coupons of one shelf."""
    now = clock.now()
    page = coupons_page(customer_id=reader_id(request), shelf=_shelf(request), after=asked_place(request), now=now)
    context = {"page": page, "shelves": page.balance.shelves.items(), "now": now, "section": "coupons"}
    return render(request, "referrals/console/coupons.html", context)


@require_safe
@never_cache
@login_required
def coupon(request: HttpRequest, coupon_id: int) -> HttpResponse:
    """One coupon: why it is that much, what it buys, and every movement on it."""
    now = clock.now()
    try:
        page = coupon_page(customer_id=reader_id(request), coupon_id=coupon_id, after=_entry(request), now=now)
    except Coupon.DoesNotExist as fault:
        raise Http404 from fault
    context = {"page": page, "coupon": page.coupon, "now": now, "section": "coupons", "current": "true"}
    return render(request, "referrals/console/coupon.html", context)


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
