"""The friend's side: which of a customer's payments count for their referrer, and what the referrer sees of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum

from django.db.models import DecimalField, QuerySet
from django.db.models.expressions import RawSQL
from djmoney.money import Money

from accounts.keyset import Page, Place, page_of
from billing.models import SpendEvent, SpendType
from referrals.models import Referral
from referrals.queries.console import FriendPage, page_of_referral
from referrals.queries.stages import stage
from referrals.queries.timeline import fell_at, window_end
from referrals.terms import CENT

PAGE_SIZE = 25

# What a payment's reversals come to, in its own currency (TERMS: What counts as spend).
CHANGE = """
(SELECT coalesce(sum(CASE reversal.type WHEN 'chargeback_reversal' THEN reversal.original_amount
                                        ELSE -reversal.original_amount END), 0)
 FROM billing_spendevent AS reversal WHERE reversal.payment_id = billing_spendevent.id)
"""


class Counts(Enum):
    """What a payment counts for, or why it counts for nothing."""

    PAYOUT_AND_BONUS = "payout_and_bonus"
    PAYOUT_ONLY = "payout_only"
    PRODUCT = "product"
    REVERSED = "reversed"


@dataclass(frozen=True)
class OwnPayment:
    """One payment of the customer's: what of it is left after its reversals, and what that counts for."""

    event: SpendEvent
    net: Money
    reversed: Money
    counts: Counts

    @property
    def does_count(self) -> bool:
        return self.counts in (Counts.PAYOUT_AND_BONUS, Counts.PAYOUT_ONLY)


@dataclass(frozen=True)
class OwnReferralPage:
    """What My own referral shows; nothing where the customer has no referrer."""

    seen: FriendPage
    payments: Page[OwnPayment]


def own_referral_page(*, customer_id: int, after: Place | None, now: datetime) -> OwnReferralPage | None:
    """Return the customer's own referral as its referrer sees it, and a page of payments. Six statements."""
    referral = (
        Referral.objects.filter(friend=customer_id)
        .select_related("friend", "terms", "referrer")
        .annotate(stage=stage(), fell_at=fell_at())
        .first()
    )
    if referral is None:
        return None
    payments = page_of(_payments(customer_id), by="occurred_at", after=after, size=PAGE_SIZE, newest_first=True)
    return OwnReferralPage(
        seen=page_of_referral(referral, now=now),
        payments=payments.map(lambda event: own_payment(event, window_ends_at=window_end(referral))),
    )


def own_payment(event: SpendEvent, *, window_ends_at: datetime) -> OwnPayment:
    """Say what a payment, loaded with the change by its reversals, counts for. Pure."""
    change: Decimal = event.change  # type: ignore[attr-defined]  # annotated by _payments
    net = ((event.original_amount + change) * event.rate).quantize(CENT, rounding=ROUND_HALF_UP)
    return OwnPayment(
        event=event,
        net=Money(net, "USD"),
        reversed=event.amount - Money(net, "USD"),
        counts=_counts(event, net, window_ends_at),
    )


def _counts(event: SpendEvent, net: Decimal, window_ends_at: datetime) -> Counts:
    if not event.qualifies:
        return Counts.PRODUCT
    if not net:
        return Counts.REVERSED
    return Counts.PAYOUT_AND_BONUS if event.occurred_at < window_ends_at else Counts.PAYOUT_ONLY


def _payments(customer_id: int) -> QuerySet[SpendEvent]:
    money = DecimalField(max_digits=20, decimal_places=2)
    return (
        SpendEvent.objects.filter(customer=customer_id, type=SpendType.PAYMENT)
        .select_related("product")
        .annotate(change=RawSQL(CHANGE, (), output_field=money))  # noqa: S611  # a constant of the code
    )
