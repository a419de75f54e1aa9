"""A referrer's friends as they may be seen: a month, a stage, dates and amounts. Nothing here names a friend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import F, Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _
from djmoney.money import Money

from accounts.keyset import Page, Place, amount, instant, page_of
from credits.models import RewardKind
from referrals.models import EARNED, NEVER, NEXT_DUE, Referral
from referrals.queries.stages import Stage, stage

# As many as a screen shows, so that a page costs the same for ten friends and for ten thousand.
PAGE_SIZE = 10
QUARTERS = 4


class Show(TextChoices):
    """Which friends are listed: all, those at one stage, or the qualified ones whose payout has its date."""

    ALL = "", _("All friends")
    JOINED = "joined", _("Joined")
    QUALIFIED = "qualified", _("Qualified")
    WAITING = "waiting", _("Waiting for the date")
    PAID = "paid", _("Paid")
    HELD = "held", _("Under review")
    REFUSED = "refused", _("Refused")
    CLAWED_BACK = "clawed_back", _("Clawed back")


class Sort(TextChoices):
    """In which order friends are listed."""

    NEWEST = "", _("Newest first")
    OLDEST = "oldest", _("Oldest first")
    NEXT = "next", _("Next date first")
    EARNED = "earned", _("Most earned first")

    @property
    def order(self) -> Order:
        return ORDERS[self]


class Order(NamedTuple):
    """What a list is ordered by, how an address says it, and whether the greatest comes first."""

    by: str
    read: Callable[[str], datetime | Decimal]
    greatest_first: bool


ORDERS = {
    Sort.NEWEST: Order("registered_at", instant, True),
    Sort.OLDEST: Order("registered_at", instant, False),
    Sort.NEXT: Order("next_due", instant, False),
    Sort.EARNED: Order("earned", amount, True),
}


@dataclass(frozen=True)
class Coming:
    """A reward, or the rest of one, that is earned and not yet granted."""

    kind: str
    amount: Money
    due_at: datetime


@dataclass(frozen=True)
class Friend:
    """One friend as the referrer may see them; below the threshold quarters only.

    `waiting_until`: when the payout of one who has qualified falls due, as long as that lies ahead.
    """

    referral: Referral
    stage: Stage
    waiting_until: datetime | None
    earned: Money
    received: Money
    coming: list[Coming]
    quarters: int
    shows_totals: bool

    @property
    def stage_name(self) -> str:
        return str(self.stage.label)


def referrals_of(customer_id: int) -> QuerySet[Referral]:
    """Return the customer's referrals with all that `friend_of` reads."""
    return Referral.objects.filter(referrer=customer_id).select_related("friend", "terms").annotate(stage=stage())


def friends_page(
    *, customer_id: int, show: Show, sort: Sort, after: Place | None, is_disqualified: bool, now: datetime
) -> Page[Friend]:
    """Return a page of the customer's friends. One statement."""
    order = sort.order
    rows = _ordered(_shown(referrals_of(customer_id), show, now), sort)
    page = page_of(rows, by=order.by, after=after, size=PAGE_SIZE, newest_first=order.greatest_first)
    return page.map(lambda referral: friend_of(referral, is_disqualified=is_disqualified, now=now))


def coming_soonest(*, customer_id: int, number: int, now: datetime) -> list[tuple[Friend, Coming]]:
    """Return the rewards that fall due next, each with its friend. One statement.

    Each of the first so many rewards is of one of the first so many friends by their next date.
    """
    rows = _ordered(referrals_of(customer_id), Sort.NEXT)
    rows = rows.filter(next_due__lt=NEVER).order_by("next_due", "pk")  # type: ignore[misc]  # annotated
    friends = [friend_of(referral, is_disqualified=False, now=now) for referral in rows[:number]]
    rewards = [(friend, reward) for friend in friends for reward in friend.coming]
    return sorted(rewards, key=lambda pair: pair[1].due_at)[:number]


def friend_of(referral: Referral, *, is_disqualified: bool, now: datetime) -> Friend:
    """Return what the referrer may see of a referral that `referrals_of` has loaded."""
    threshold = referral.terms.qualifying_threshold
    stage_now = Stage(referral.stage)  # type: ignore[attr-defined]  # annotated by referrals_of
    coming = [] if is_disqualified else _coming(referral)
    return Friend(
        referral=referral,
        stage=stage_now,
        waiting_until=_waiting_until(stage_now, coming, now),
        earned=referral.payout_earned + referral.bonus_earned,
        received=referral.payout_granted + referral.bonus_granted,
        coming=coming,
        quarters=int(min(QUARTERS, QUARTERS * referral.qualifying_spend.amount // threshold)),
        shows_totals=bool(referral.qualifying_spend.amount >= threshold),
    )


def _shown(rows: QuerySet[Referral], show: Show, now: datetime) -> QuerySet[Referral]:
    if show is Show.ALL:
        return rows
    if show is Show.WAITING:
        is_waiting = Q(stage=Stage.QUALIFIED, payout_granted__lt=F("payout_earned"), payout_due_at__gt=now)
        return rows.filter(is_waiting, referrer__disqualified_at__isnull=True)
    return rows.filter(stage=show.value)  # type: ignore[misc]  # annotated by referrals_of


def _ordered(rows: QuerySet[Referral], sort: Sort) -> QuerySet[Referral]:
    """Give the rows what the sort orders them by."""
    if sort is Sort.NEXT:
        return rows.annotate(next_due=NEXT_DUE)
    if sort is Sort.EARNED:
        return rows.annotate(earned=EARNED)
    return rows


def _coming(referral: Referral) -> list[Coming]:
    """What will be granted as things stand, in order of its due time; nothing while a hold is open."""
    if referral.held:
        return []
    rewards = [
        (RewardKind.PAYOUT, referral.payout_earned - referral.payout_granted, referral.payout_due_at),
        (RewardKind.BONUS, referral.bonus_earned - referral.bonus_granted, referral.bonus_due_at),
    ]
    coming = [Coming(kind, left, due_at) for kind, left, due_at in rewards if due_at and left.amount > 0]
    return sorted(coming, key=lambda reward: reward.due_at)


def _waiting_until(stage_now: Stage, coming: Sequence[Coming], now: datetime) -> datetime | None:
    payouts = [reward.due_at for reward in coming if reward.kind == RewardKind.PAYOUT and reward.due_at > now]
    return payouts[0] if payouts and stage_now is Stage.QUALIFIED else None


FRIEND_COLUMNS = (
    "friend",
    "first_name",
    "joined",
    "stage",
    "quarters_of_threshold",
    "qualifying_spend",
    "window_spend",
    "qualified_at",
    "next_reward",
    "next_amount",
    "next_due_at",
    "earned",
    "paid",
)


def friend_rows(
    *, customer_id: int, is_disqualified: bool, show: Show, sort: Sort, now: datetime
) -> Iterator[Sequence[object]]:
    """Return the customer's friends as FRIEND_COLUMNS, as Postgres sends them. One statement.

    What is private on the pages is private here: below the threshold there are quarters and no amounts.
    """
    order = sort.order
    way = "-" if order.greatest_first else ""
    rows = _ordered(_shown(referrals_of(customer_id), show, now), sort).order_by(f"{way}{order.by}", f"{way}pk")
    friends = (friend_of(referral, is_disqualified=is_disqualified, now=now) for referral in rows.iterator())
    return (_row(friend) for friend in friends)


def _row(friend: Friend) -> Sequence[object]:
    referral, reward = friend.referral, friend.coming[0] if friend.coming else None
    closed = referral.friend.closed_at is not None
    return (
        referral.pk,
        "" if closed else referral.friend.public_first_name,
        f"{referral.registered_at:%Y-%m}",
        "waiting" if friend.waiting_until else friend.stage.value,
        friend.quarters,
        referral.qualifying_spend.amount if friend.shows_totals else None,
        referral.window_spend.amount if friend.shows_totals else None,
        referral.qualified_at,
        reward.kind if reward else "",
        reward.amount.amount if reward else None,
        reward.due_at if reward else None,
        friend.earned.amount,
        friend.received.amount,
    )
