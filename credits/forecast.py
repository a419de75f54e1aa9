"""What of a customer's credit will expire before it is likely used. Pure: no Django, no clock, no database.

The forecast goes on as the customer has done so far. Their *pace* is what they used in the 90 days before now, less
what came back of it, divided by 90: so much a day. At this pace they go on from now, without a pause and to the
fraction of a cent, soonest-expiring coupon first (TERMS: Credit). What is left on a coupon at its `expires_at` will
have expired. A pace of nothing leaves everything to expire.

Credit and the trial have a pace each, for each buys other products. What the order at hand pays is taken off the
coupons before, and is no part of the pace, which is of the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

LOOKED_BACK = timedelta(days=90)
CENT = Decimal("0.01")
MICROSECOND = timedelta(microseconds=1)


class Left(NamedTuple):
    """What is left on a coupon, in US dollars, and when it ends."""

    coupon_id: int
    remaining: Decimal
    expires_at: datetime


def expiring(*, left: Sequence[Left], used: Decimal, now: datetime) -> dict[int, Decimal]:
    """Return by coupon what of it will likely expire, in US dollars to the cent, half up; only where it is something.

    `left` are the usable coupons of one kind, credit or trial, in their order of use; `used` is what was used of that
    kind in LOOKED_BACK before `now`.
    """
    spent = Decimal(0)
    lost: dict[int, Decimal] = {}
    for coupon in left:
        # What can be spent until it ends, less what goes on the coupons before it.
        part = min(coupon.remaining, max(Decimal(0), _reach(used, until=coupon.expires_at, now=now) - spent))
        spent += part
        if rest := (coupon.remaining - part).quantize(CENT, rounding=ROUND_HALF_UP):
            lost[coupon.coupon_id] = rest
    return lost


def _reach(used: Decimal, *, until: datetime, now: datetime) -> Decimal:
    """What is spent from now until then."""
    return used * ((until - now) // MICROSECOND) / (LOOKED_BACK // MICROSECOND)
