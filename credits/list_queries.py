"""What the API lists of coupons and of the movements on them. Money is in US dollars."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.lists import Part, Turn, Wanted, customer_of, part_of, under
from credits.models import Coupon, CouponEntry
from credits.queries import Shelf, on_shelf


def coupon_list(*, wanted: Wanted, turn: Turn, now: datetime) -> Part[Coupon]:
    """Return a part of all coupons; `state` is a Shelf, the instant that of issue. Three statements at most.

    A coupon changes with its entries, and with nothing else. Raises UnableToReadCursor.
    """
    condition = _coupons_wanted(wanted, now)
    return part_of(
        _coupons().filter(condition),
        name="coupons",
        turn=turn,
        notes=_entries("coupon__friend").filter(under("coupon__", condition)),
        row_of=lambda entry: entry.coupon,
    )


def coupon_by_id(*, coupon_id: int) -> Coupon:
    """Return a coupon. One statement. Raises Coupon.DoesNotExist."""
    return _coupons().get(pk=coupon_id)


def entry_list(*, wanted: Wanted, turn: Turn) -> Part[CouponEntry]:
    """Return a part of all movements; `kind` is their type, the instant that at which they took effect.

    Three statements at most. Raises UnableToReadCursor.
    """
    condition = wanted.within("occurred_at")
    customer = customer_of(wanted.account_id)
    if customer is not None:
        condition &= Q(coupon__customer=customer)
    if wanted.kind:
        condition &= Q(type=wanted.kind)
    entries = _entries().filter(condition)
    return part_of(entries, name="entries", turn=turn, notes=entries, row_of=lambda entry: entry)


def entry_by_id(*, entry_id: int) -> CouponEntry:
    """Return a movement on a coupon. One statement. Raises CouponEntry.DoesNotExist."""
    return _entries().get(pk=entry_id)


def _coupons() -> QuerySet[Coupon]:
    return Coupon.objects.select_related("customer__customer", "friend")


def _entries(*more: str) -> QuerySet[CouponEntry]:
    return CouponEntry.objects.select_related("coupon__customer__customer", *more)


def _coupons_wanted(wanted: Wanted, now: datetime) -> Q:
    condition = wanted.within("issued_at")
    customer = customer_of(wanted.account_id)
    if customer is not None:
        condition &= Q(customer=customer)
    if wanted.state:
        condition &= on_shelf(Shelf(wanted.state), now)
    if wanted.kind:
        condition &= Q(kind=wanted.kind)
    return condition
