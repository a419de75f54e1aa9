"""What the demo's pages read."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Case, F, Q, Sum, Value, When
from django.db.models.functions import Coalesce

from accounts.models import User
from billing.models import SpendBatch, SpendEvent, SpendType
from credits.models import Coupon
from referrals.models import Referral

NET = F("original_amount") + Coalesce(
    Sum(
        Case(
            When(reversals__type=SpendType.CHARGEBACK_REVERSAL, then=F("reversals__original_amount")),
            default=-F("reversals__original_amount"),
        ),
        filter=Q(reversals__isnull=False),
    ),
    Value(Decimal(0)),
)


class Purchase(NamedTuple):
    """A friend's purchase that can be refunded: what is left of it, in US dollars, and the ids that a refund names."""

    source: str
    event_id: str
    account_id: str
    left: Decimal
    occurred_at: datetime


def is_all_settled(*, now: datetime) -> bool:
    """Whether the sweeps would find nothing to do as of `now`."""
    due = Referral.objects.filter(tracked_at=None).exists() or SpendBatch.objects.filter(applied_at=None).exists()
    referrals = Referral.objects.filter(referrer__disqualified_at=None)
    rewards = referrals.payout_due_by(now) | referrals.bonus_due_by(now) | Referral.objects.overpaid()
    lapsed = Coupon.objects.filter(remaining__gt=0, expires_at__lte=now)
    return not (due or rewards.exists() or lapsed.exists())


def last_purchase(*, customer_id: int) -> Purchase | None:
    """The customer's latest qualifying purchase of which something is left."""
    payments = SpendEvent.objects.filter(customer_id=customer_id, type=SpendType.PAYMENT, qualifies=True)
    row = (
        payments.annotate(left=NET)
        .filter(left__gt=0)
        .order_by("-occurred_at", "-pk")
        .values_list("source", "event_id", "customer__account_id", "left", "occurred_at")
        .first()
    )
    return Purchase(*row) if row else None


def referral_of(*, referrer: User, referral_id: int) -> Referral:
    """This referral, if it is `referrer`'s. Raises Referral.DoesNotExist."""
    return Referral.objects.select_related("friend").get(referrer=referrer, pk=referral_id)
