"""What happened to one referral, and what is on its way, in order of time. Nothing here names a friend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import DateTimeField
from django.db.models.expressions import RawSQL
from django.utils.functional import Promise
from djmoney.money import Money

from referrals.models import Clawback, Decision, FraudFlag, Referral, Reward
from referrals.queries.friends import Friend
from referrals.queries.reasons import reason_of
from referrals.queries.reckonings import Reckoning, recorded_reckoning

# What comes first of what bears the same instant.
AT_ONE_INSTANT = (
    "joined",
    "qualified",
    "granted",
    "unqualified",
    "held",
    "refused",
    "clawed_back",
    "released",
    "lifted",
    "window",
    "due",
)


# The qualifying spend after each batch, in the order in which they came: the first batch after which the friend was
# below the threshold, having reached it before.
FELL_AT = """
CASE WHEN referrals_referral.qualified_at IS NULL THEN (
    WITH step AS (
        SELECT batch_id, sum(sum(CASE WHEN type IN ('payment', 'chargeback_reversal') THEN amount ELSE -amount END))
                   OVER (ORDER BY batch_id) AS so_far
        FROM billing_spendevent WHERE customer_id = referrals_referral.friend_id AND qualifies GROUP BY batch_id
    )
    SELECT received_at
    FROM step JOIN billing_spendbatch AS batch ON batch.id = step.batch_id
    WHERE batch_id > (
        SELECT max(batch_id) FROM step JOIN referrals_programmeterms AS terms ON terms.id = referrals_referral.terms_id
        WHERE so_far >= qualifying_threshold)
    ORDER BY batch_id LIMIT 1
) END
"""


def fell_at() -> RawSQL:
    """Return the expression for a query of Referral: when a friend who had qualified ceased to be, as the reversal was
    recorded; None for one who has qualified, and for one who never had."""
    return RawSQL(FELL_AT, (), output_field=DateTimeField(null=True))  # noqa: S611  # a constant of the code


@dataclass(frozen=True)
class Event:
    """Something that happened to a referral, or will: `fact` is what was recorded of it, `reason` why, in words."""

    at: datetime
    name: str
    fact: object = None
    reckoning: Reckoning | None = None
    before: Money | None = None
    left: Money | None = None
    reason: Promise | None = None
    is_ahead: bool = False


@dataclass(frozen=True)
class Timeline:
    """The events, why the referral is under review, and why it was refused last, if it is or was."""

    events: list[Event]
    held_because: list[Promise]
    refused_because: list[Promise]


def window_end(referral: Referral) -> datetime:
    """When spend ceases to count towards the bonus (TERMS: What counts as spend). Pure."""
    return referral.registered_at + timedelta(days=referral.terms.bonus_window_days)


def timeline(friend: Friend, *, now: datetime) -> Timeline:
    """Return everything that happened to the referral, loaded with `fell_at`, and what is on its way. Four
    statements."""
    referral = friend.referral
    flags = list(FraudFlag.objects.filter(referral=referral).order_by("opened_at", "pk"))
    holds = [flag for flag in flags if flag.severity == FraudFlag.Severity.HOLD]
    events = [Event(referral.registered_at, "joined"), *_grants(referral), *_clawbacks(referral)]
    events += [*_reviews(holds), *_decisions(referral), *_ahead(friend, now)]
    if referral.qualified_at:
        events.append(Event(referral.qualified_at, "qualified"))
    elif referral.fell_at:  # type: ignore[attr-defined]  # annotated by fell_at
        events.append(Event(referral.fell_at, "unqualified"))  # type: ignore[attr-defined]
    refused = [flag for flag in flags if flag.outcome == FraudFlag.Outcome.REFUSED]
    return Timeline(
        events=sorted(events, key=lambda event: (event.is_ahead, event.at, AT_ONE_INSTANT.index(event.name))),
        held_because=_reasons([flag for flag in holds if flag.closed_at is None]),
        refused_because=_reasons(refused) if referral.refused_at else [],
    )


def _ahead(friend: Friend, now: datetime) -> list[Event]:
    """What is on its way. Of a friend who has not qualified nothing has a date."""
    referral = friend.referral
    events = [Event(reward.due_at, "due", reward, is_ahead=True) for reward in friend.coming]
    if now < window_end(referral) and friend.shows_totals and not referral.refused_at:
        events.append(Event(window_end(referral), "window", is_ahead=True))
    return events


def _reasons(flags: list[FraudFlag]) -> list[Promise]:
    """Each reason once."""
    return list(dict.fromkeys(reason_of(flag.rule) for flag in flags))


def _grants(referral: Referral) -> list[Event]:
    rewards = Reward.objects.filter(referral=referral).order_by("granted_at", "pk")
    return [
        Event(
            reward.granted_at,
            "granted",
            reward,
            recorded_reckoning(reward, referral.terms),
            before=reward.earned - reward.amount,
            left=reward.amount - reward.debts_settled,
        )
        for reward in rewards
    ]


def _clawbacks(referral: Referral) -> list[Event]:
    clawbacks = Clawback.objects.filter(referral=referral).order_by("clawed_back_at", "pk")
    return [
        Event(
            clawback.clawed_back_at,
            "clawed_back",
            clawback,
            recorded_reckoning(clawback, referral.terms),
            before=clawback.earned + clawback.revoked + clawback.let_go + clawback.debt,
            left=clawback.revoked + clawback.let_go + clawback.debt,
        )
        for clawback in clawbacks
    ]


def _reviews(holds: list[FraudFlag]) -> list[Event]:
    """When a review began and ended: the outcome of one that led to a refusal is the decision's."""
    events = []
    for flag in holds:
        events.append(Event(flag.opened_at, "held", reason=reason_of(flag.rule)))
        if flag.closed_at and flag.outcome == FraudFlag.Outcome.RELEASED:
            events.append(Event(flag.closed_at, "released"))
    return events


def _decisions(referral: Referral) -> list[Event]:
    shown = {Decision.Action.REFUSE: "refused", Decision.Action.LIFT_REFUSAL: "lifted"}
    decisions = Decision.objects.filter(referral=referral, action__in=shown).order_by("decided_at", "pk")
    return [Event(decision.decided_at, shown[Decision.Action(decision.action)]) for decision in decisions]
