"""What the API lists of referrals and of the rewards granted for them. Money is in US dollars."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from accounts.lists import Part, Turn, Wanted, customer_of, part_of, under
from referrals.models import Referral, ReferralChange, Reward
from referrals.queries.stages import stage

# How a reward was given (TERMS: Settlement, 3): all of it may have settled debts.
GIVEN = {"coupon": Q(coupon__isnull=False), "debts": Q(coupon__isnull=True)}


def referral_list(*, wanted: Wanted, turn: Turn) -> Part[Referral]:
    """Return a part of all referrals, each with its `stage`; an account is that of the friend or of the referrer.

    `state` is a Stage, the instant that of registration. Three statements at most. Raises UnableToReadCursor.
    """
    condition = wanted.within("registered_at")
    customer = customer_of(wanted.account_id)
    if customer is not None:
        condition &= Q(referrer=customer) | Q(friend=customer)
    notes = ReferralChange.objects.select_related("referral__friend", "referral__referrer")
    return part_of(
        _at_stage(_referrals().filter(condition), wanted.state),
        name="referrals",
        turn=turn,
        notes=_at_stage(notes.filter(under("referral__", condition)), wanted.state),
        row_of=_noted,
    )


def referral_by_id(*, referral_id: int) -> Referral:
    """Return a referral with its `stage`. One statement. Raises Referral.DoesNotExist."""
    referral: Referral = _at_stage(_referrals(), None).get(pk=referral_id)
    return referral


def reward_list(*, wanted: Wanted, turn: Turn) -> Part[Reward]:
    """Return a part of all rewards; an account is that of the referrer, who has got them.

    `state` is one of GIVEN, the instant that of the grant. Three statements at most. Raises UnableToReadCursor.
    """
    condition = wanted.within("granted_at")
    customer = customer_of(wanted.account_id)
    if customer is not None:
        condition &= Q(referral__referrer=customer)
    if wanted.kind:
        condition &= Q(kind=wanted.kind)
    if wanted.state:
        condition &= GIVEN[wanted.state]
    rewards = _rewards().filter(condition)
    return part_of(rewards, name="rewards", turn=turn, notes=rewards, row_of=lambda reward: reward)


def reward_by_id(*, reward_id: int) -> Reward:
    """Return a reward. One statement. Raises Reward.DoesNotExist."""
    return _rewards().get(pk=reward_id)


def _referrals() -> QuerySet[Referral]:
    return Referral.objects.select_related("friend", "referrer")


def _rewards() -> QuerySet[Reward]:
    return Reward.objects.select_related("referral__friend", "referral__referrer")


def _at_stage(rows: QuerySet[Any], wanted: str | None) -> QuerySet[Any]:
    """The expression names the referral's table, which is joined under that name."""
    staged: QuerySet[Any] = rows.annotate(stage=stage())
    return staged.filter(stage=wanted) if wanted else staged


def _noted(change: Any) -> Referral:
    referral: Referral = change.referral
    referral.stage = change.stage  # type: ignore[attr-defined]
    return referral
