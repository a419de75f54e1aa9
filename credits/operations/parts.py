"""Credit that buys something at our own checkout: exactly the parts of coupons that the customer was shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction
from djmoney.money import Money

from credits.models import Coupon, CouponEntry, Redemption
from credits.operations.coupons import lock_accounts
from credits.operations.redemptions import MOST_AHEAD, Entry, UnableToRedeem, is_id, is_payable, write_entries


class CouponPart(NamedTuple):
    """How much of one coupon, in US dollars."""

    coupon_id: int
    amount: Decimal


def redeem_parts(
    *,
    source: str,
    redemption_id: str,
    customer_id: int,
    parts: Sequence[CouponPart],
    occurred_at: datetime,
    now: datetime,
) -> Redemption:
    """Spend these parts of a customer's coupons, of credit or of the trial, in this order; each coupon stands once.

    All or nothing; the same redemption again has no effect. Part of the caller's operation, which begins anew where the
    database undoes it. Locks the CreditAccount. Raises UnableToRedeem: id, amount, account, conflict, time,
    insufficient.
    """
    amount = sum((part.amount for part in parts), Decimal(0))
    if not is_id(redemption_id):
        raise UnableToRedeem("id")
    if not all(is_payable(Money(value, "USD")) for value in (amount, *(part.amount for part in parts))):
        raise UnableToRedeem("amount")
    with transaction.atomic():
        # Two redemptions of one coupon at once would both spend what is left: read only what the lock holds still.
        if not lock_accounts(customer_ids=[customer_id]):
            raise UnableToRedeem("account")
        redemption, is_new = Redemption.objects.get_or_create(
            source=source,
            redemption_id=redemption_id,
            defaults={
                "customer_id": customer_id,
                "amount": amount,
                "occurred_at": occurred_at,
                "recorded_at": now,
            },
        )
        if is_new:
            _spend(redemption, parts, now)
        elif (redemption.customer_id, redemption.occurred_at) != (customer_id, occurred_at) or _taken(
            redemption
        ) != list(parts):
            raise UnableToRedeem("conflict")
    return redemption


def _taken(redemption: Redemption) -> list[CouponPart]:
    entries = CouponEntry.objects.filter(redemption=redemption, type=CouponEntry.Type.REDEEM).order_by("pk")
    return [CouponPart(entry.coupon_id, -entry.amount.amount) for entry in entries]


def _spend(redemption: Redemption, parts: Sequence[CouponPart], now: datetime) -> None:
    at, name = redemption.occurred_at, redemption.redemption_id
    if at > now + MOST_AHEAD:
        raise UnableToRedeem("time")
    usable = Coupon.objects.filter(customer=redemption.customer_id, customer__frozen_at=None).usable_at(at)
    remaining = {coupon.pk: coupon.remaining.amount for coupon in usable}
    if any(part.amount > remaining.get(part.coupon_id, 0) for part in parts):
        raise UnableToRedeem("insufficient")
    left = [remaining[part.coupon_id] - part.amount for part in parts]
    entries = [
        Entry(part.coupon_id, "REDEEM", -part.amount, after, name, name, at)
        for part, after in zip(parts, left, strict=True)
    ]
    write_entries(entries=entries, redemptions={name: redemption.pk}, now=now)
