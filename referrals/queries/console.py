"""What a customer's Refer a Friend pages read. Money is in US dollars; nothing here names a friend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.conf import settings
from django.db.models import Count, DecimalField, ExpressionWrapper, F, Q, QuerySet, Sum
from djmoney.money import Money

from accounts.keyset import Page, Place, page_of
from accounts.models import IdentityVerification, User
from credits.models import RewardKind
from referrals.models import Clawback, Decision, FraudFlag, ProgrammeTerms, Referral, Reward
from referrals.queries.reckonings import Reckoning, present_reckoning, recorded_reckoning
from referrals.queries.stages import Stage, stage

PAGE_SIZE = 25
QUARTERS = 4
# What comes first of what bears the same instant.
AT_ONE_INSTANT = (
    "joined",
    "qualified",
    "granted",
    "held",
    "refused",
    "clawed_back",
    "released",
    "lifted",
    "due",
    "window",
)


class Verification(Enum):
    """How far identity verification has come, or what else it found."""

    NOT_STARTED = "not_started"
    IN_REVIEW = "in_review"
    REFUSED = "refused"
    PASSED = "passed"
    OTHER_ACCOUNT = "other_account"


@dataclass(frozen=True)
class Standing:
    """Whether the customer may refer, and if not, what is missing or why not (TERMS: Who may refer)."""

    has_payment_method: bool
    verification: Verification
    is_disqualified: bool
    link_is_off: bool
    address: str | None

    @property
    def may_refer(self) -> bool:
        return (
            self.has_payment_method
            and self.verification is Verification.PASSED
            and not self.is_disqualified
            and not self.link_is_off
        )


@dataclass(frozen=True)
class Figures:
    """How many friends joined and qualified, what was received for them, and what is on its way or under review."""

    joined: int
    qualified: int
    received: Money
    coming: Money
    under_review: Money


@dataclass(frozen=True)
class Coming:
    """A reward, or the rest of one, that is earned and not yet granted."""

    kind: str
    amount: Money
    due_at: datetime


@dataclass(frozen=True)
class Friend:
    """One friend as the referrer may see them: a month, a stage and amounts; below the threshold quarters only."""

    referral: Referral
    stage: Stage
    received: Money
    coming: list[Coming]
    quarters: int
    shows_totals: bool


@dataclass(frozen=True)
class ReferPage:
    """What Refer a Friend shows."""

    standing: Standing
    terms: ProgrammeTerms
    figures: Figures
    friends: Page[Friend]


@dataclass(frozen=True)
class Event:
    """Something that happened to a referral, or will: `fact` is what was recorded of it."""

    at: datetime
    name: str
    fact: object = None
    reckoning: Reckoning | None = None
    before: Money | None = None
    left: Money | None = None
    is_ahead: bool = False


@dataclass(frozen=True)
class FriendPage:
    """What the page of one friend shows."""

    friend: Friend
    payout: Reckoning
    bonus: Reckoning
    window_ends_at: datetime
    window_is_open: bool
    events: list[Event]


def refer_page(*, customer_id: int, after: Place | None, now: datetime) -> ReferPage:
    """Return the customer's standing, figures and a page of friends, the newest first. Four statements."""
    customer = User.objects.select_related("verification", "referral_link").get(pk=customer_id)
    is_disqualified = customer.disqualified_at is not None
    friends = page_of(_referrals(customer_id), by="registered_at", after=after, size=PAGE_SIZE, newest_first=True)
    return ReferPage(
        standing=_standing(customer, now),
        terms=terms_at(now),
        figures=_figures(customer_id, is_disqualified=is_disqualified),
        friends=friends.map(lambda referral: _friend(referral, is_disqualified=is_disqualified)),
    )


def friend_page(*, customer_id: int, referral_id: int, now: datetime) -> FriendPage:
    """Return one friend with all that was recorded. Five statements. Raises Referral.DoesNotExist."""
    referral = _referrals(customer_id).select_related("referrer").get(pk=referral_id)
    friend = _friend(referral, is_disqualified=referral.referrer.disqualified_at is not None)
    window_ends_at = referral.registered_at + timedelta(days=referral.terms.bonus_window_days)
    return FriendPage(
        friend=friend,
        payout=present_reckoning(referral, RewardKind.PAYOUT),
        bonus=present_reckoning(referral, RewardKind.BONUS),
        window_ends_at=window_ends_at,
        window_is_open=now < window_ends_at,
        events=_events(friend, now),
    )


def terms_at(at: datetime) -> ProgrammeTerms:
    """Return the terms in force at an instant; the first start in 1970. One statement."""
    return ProgrammeTerms.objects.filter(starts_at__lte=at).order_by("-starts_at")[:1].get()


def _referrals(customer_id: int) -> QuerySet[Referral]:
    return Referral.objects.filter(referrer=customer_id).select_related("friend", "terms").annotate(stage=stage())


def _standing(customer: User, now: datetime) -> Standing:
    link = getattr(customer, "referral_link", None)
    return Standing(
        has_payment_method=customer.has_payment_method(now),
        verification=_verification(getattr(customer, "verification", None)),
        is_disqualified=customer.disqualified_at is not None,
        link_is_off=link is not None and link.switched_off_at is not None,
        address=f"{settings.SITE_URL}/r/{link.code}" if link else None,
    )


def _verification(found: IdentityVerification | None) -> Verification:
    if found is None:
        return Verification.NOT_STARTED
    if found.state == IdentityVerification.State.PASSED and not found.is_eligible:
        return Verification.OTHER_ACCOUNT
    return Verification(found.state)


def _figures(customer_id: int, *, is_disqualified: bool) -> Figures:
    """Count and add up all of the customer's referrals. One statement."""
    found = Referral.objects.filter(referrer=customer_id).aggregate(
        joined=Count("pk"),
        qualified=Count("pk", filter=Q(qualified_at__isnull=False, refused_at__isnull=True)),
        payouts=Sum("payout_granted"),
        bonuses=Sum("bonus_granted"),
        payouts_coming=_outstanding("payout", held=False),
        bonuses_coming=_outstanding("bonus", held=False),
        payouts_held=_outstanding("payout", held=True),
        bonuses_held=_outstanding("bonus", held=True),
    )
    nothing = Money(0, "USD")
    return Figures(
        joined=found["joined"],
        qualified=found["qualified"],
        received=_sum(found["payouts"], found["bonuses"]),
        coming=nothing if is_disqualified else _sum(found["payouts_coming"], found["bonuses_coming"]),
        under_review=nothing if is_disqualified else _sum(found["payouts_held"], found["bonuses_held"]),
    )


def _outstanding(kind: str, *, held: bool) -> Sum:
    """What is earned of this kind beyond what was granted, over the referrals held or not."""
    difference = ExpressionWrapper(
        F(f"{kind}_earned") - F(f"{kind}_granted"), output_field=DecimalField(max_digits=14, decimal_places=2)
    )
    return Sum(difference, filter=Q(held=held, **{f"{kind}_granted__lt": F(f"{kind}_earned")}))


def _sum(*amounts: object) -> Money:
    total = Money(0, "USD")
    for amount in amounts:
        total += amount if isinstance(amount, Money) else Money(amount or 0, "USD")
    return total


def _friend(referral: Referral, *, is_disqualified: bool) -> Friend:
    threshold = referral.terms.qualifying_threshold
    reached = bool(referral.qualifying_spend.amount >= threshold)
    stage_now = Stage(referral.stage)  # type: ignore[attr-defined]  # annotated by _referrals
    return Friend(
        referral=referral,
        stage=stage_now,
        received=referral.payout_granted + referral.bonus_granted,
        coming=[] if is_disqualified else _coming(referral),
        quarters=int(min(QUARTERS, QUARTERS * referral.qualifying_spend.amount // threshold)),
        shows_totals=reached,
    )


def _coming(referral: Referral) -> list[Coming]:
    """What will be granted as things stand, in order of its due time; nothing while a hold is open."""
    if referral.held:
        return []
    rewards = [
        (RewardKind.PAYOUT, referral.payout_earned - referral.payout_granted, referral.payout_due_at),
        (RewardKind.BONUS, referral.bonus_earned - referral.bonus_granted, referral.bonus_due_at),
    ]
    coming = [Coming(kind, amount, due_at) for kind, amount, due_at in rewards if due_at and amount.amount > 0]
    return sorted(coming, key=lambda reward: reward.due_at)


def _events(friend: Friend, now: datetime) -> list[Event]:
    """Everything that happened to the referral, and what is on its way, in order of time. Four statements."""
    referral = friend.referral
    events = [Event(referral.registered_at, "joined"), *_grants(referral), *_clawbacks(referral)]
    events += [*_reviews(referral), *_decisions(referral)]
    if referral.qualified_at:
        events.append(Event(referral.qualified_at, "qualified"))
    events += [Event(reward.due_at, "due", reward, is_ahead=True) for reward in friend.coming]
    window_ends_at = referral.registered_at + timedelta(days=referral.terms.bonus_window_days)
    if now < window_ends_at and not referral.refused_at:
        events.append(Event(window_ends_at, "window", is_ahead=True))
    return sorted(events, key=lambda event: (event.is_ahead, event.at, AT_ONE_INSTANT.index(event.name)))


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


def _reviews(referral: Referral) -> list[Event]:
    """When a review began and ended: the outcome of one that led to a refusal is the decision's."""
    events = []
    holds = FraudFlag.objects.filter(referral=referral, severity=FraudFlag.Severity.HOLD)
    for flag in holds.order_by("opened_at", "pk"):
        events.append(Event(flag.opened_at, "held"))
        if flag.closed_at and flag.outcome == FraudFlag.Outcome.RELEASED:
            events.append(Event(flag.closed_at, "released"))
    return events


def _decisions(referral: Referral) -> list[Event]:
    shown = {Decision.Action.REFUSE: "refused", Decision.Action.LIFT_REFUSAL: "lifted"}
    decisions = Decision.objects.filter(referral=referral, action__in=shown).order_by("decided_at", "pk")
    return [Event(decision.decided_at, shown[Decision.Action(decision.action)]) for decision in decisions]
