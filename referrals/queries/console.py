"""What a customer's Refer a Friend pages read. Money is in US dollars; nothing here names a friend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from django.db.models import QuerySet

from accounts.keyset import Page, Place
from accounts.models import User
from credits.models import RewardKind
from referrals.models import ProgrammeTerms, Referral
from referrals.queries.figures import Figures, Month, figures, months
from referrals.queries.friends import Coming, Friend, Show, Sort, friend_of, friend_rows, friends_page, referrals_of
from referrals.queries.reckonings import Reckoning, present_reckoning
from referrals.queries.standing import Standing, customer_with_standing, standing_of
from referrals.queries.timeline import Timeline, fell_at, timeline, window_end
from referrals.sweeps import SWEEP


@dataclass(frozen=True)
class ReferPage:
    """What Refer a Friend shows."""

    standing: Standing
    was_referred: bool
    terms: ProgrammeTerms
    figures: Figures
    months: list[Month]
    friends: Page[Friend]

    @property
    def this_month(self) -> Month:
        return self.months[-1]

    @property
    def newest_months(self) -> list[Month]:
        return self.months[::-1]


@dataclass(frozen=True)
class ListPage:
    """What the list of friends shows by itself."""

    standing: Standing
    friends: Page[Friend]


@dataclass(frozen=True)
class Arrival:
    """When a reward that is earned and not granted arrives: no sooner and no later than; a hold has no latest."""

    reward: Coming
    earliest: datetime
    latest: datetime | None


@dataclass(frozen=True)
class FriendPage:
    """What the page of one friend shows. `is_over`: what is not granted yet to the referrer stays so."""

    friend: Friend
    payout: Reckoning
    bonus: Reckoning
    payout_arrival: Arrival | None
    bonus_arrival: Arrival | None
    window_ends_at: datetime
    window_is_open: bool
    timeline: Timeline
    is_over: bool


def refer_page(
    *, customer_id: int, show: Show, sort: Sort, after: Place | None, zone: tzinfo, now: datetime
) -> ReferPage:
    """Return the customer's standing, figures, months in `zone` and a page of friends. At most five statements."""
    customer = customer_with_standing(customer_id)
    standing = standing_of(customer, now=now)
    link_id = standing.link_id
    totals = figures(customer_id=customer_id, link_id=link_id, is_disqualified=standing.is_disqualified)
    return ReferPage(
        standing=standing,
        was_referred=is_referred(customer),
        terms=terms_at(now),
        figures=totals,
        months=[]
        if totals.is_empty
        else months(customer_id=customer_id, link_id=link_id, figures=totals, zone=zone, now=now),
        friends=friends_page(
            customer_id=customer_id,
            show=show,
            sort=sort,
            after=after,
            is_disqualified=standing.is_disqualified,
            now=now,
        ),
    )


def list_page(*, customer_id: int, show: Show, sort: Sort, after: Place | None, now: datetime) -> ListPage:
    """Return the customer's standing and a page of friends. Two statements."""
    standing = standing_of(customer_with_standing(customer_id), now=now)
    friends = friends_page(
        customer_id=customer_id, show=show, sort=sort, after=after, is_disqualified=standing.is_disqualified, now=now
    )
    return ListPage(standing, friends)


def friends_file_rows(*, customer_id: int, show: Show, sort: Sort, now: datetime) -> Iterator[Sequence[object]]:
    """Return the customer's friends as FRIEND_COLUMNS, one by one. Two statements."""
    standing = standing_of(customer_with_standing(customer_id), now=now)
    return friend_rows(customer_id=customer_id, is_disqualified=standing.is_disqualified, show=show, sort=sort, now=now)


def friend_page(*, customer_id: int, referral_id: int, now: datetime) -> FriendPage:
    """Return one friend with all that was recorded. Five statements. Raises Referral.DoesNotExist."""
    return page_of_referral(_referrals_in_full(customer_id).get(pk=referral_id), now=now)


def _referrals_in_full(customer_id: int) -> QuerySet[Referral]:
    """The customer's referrals with all that `page_of_referral` reads."""
    return referrals_of(customer_id).select_related("referrer").annotate(fell_at=fell_at())


def page_of_referral(referral: Referral, *, now: datetime) -> FriendPage:
    """Return what the referrer sees of a referral that is loaded with its referrer. Four statements."""
    is_over = _gets_nothing_more(referral.referrer)
    friend = friend_of(referral, is_disqualified=is_over, now=now)
    window_ends_at = window_end(referral)
    return FriendPage(
        friend=friend,
        payout=present_reckoning(referral, RewardKind.PAYOUT),
        bonus=present_reckoning(referral, RewardKind.BONUS),
        payout_arrival=_arrival(friend, RewardKind.PAYOUT, now),
        bonus_arrival=_arrival(friend, RewardKind.BONUS, now),
        window_ends_at=window_ends_at,
        window_is_open=now < window_ends_at,
        timeline=timeline(friend, now=now),
        is_over=is_over,
    )


def is_referred(customer: User) -> bool:
    """Whether the customer, as `customer_with_standing` has loaded them, has a referrer."""
    return getattr(customer, "referral", None) is not None


def terms_at(at: datetime) -> ProgrammeTerms:
    """Return the terms in force at an instant; the first start in 1970. One statement."""
    return ProgrammeTerms.objects.filter(starts_at__lte=at).order_by("-starts_at")[:1].get()


def _arrival(friend: Friend, kind: RewardKind, now: datetime) -> Arrival | None:
    """When a reward arrives: from its due time until the sweep after it, which runs within `SWEEP`."""
    referral = friend.referral
    if referral.held and not friend.coming:
        return _held_arrival(referral, kind)
    for reward in friend.coming:
        if reward.kind == kind:
            return Arrival(reward, reward.due_at, max(reward.due_at, now) + SWEEP)
    return None


def _held_arrival(referral: Referral, kind: RewardKind) -> Arrival | None:
    earned, granted, due_at = (
        (referral.payout_earned, referral.payout_granted, referral.payout_due_at)
        if kind == RewardKind.PAYOUT
        else (referral.bonus_earned, referral.bonus_granted, referral.bonus_due_at)
    )
    left = earned - granted
    if _gets_nothing_more(referral.referrer) or due_at is None or left.amount <= 0:
        return None
    return Arrival(Coming(kind, left, due_at), due_at, None)


def _gets_nothing_more(referrer: User) -> bool:
    """Whether what is not granted yet to a referrer stays so (TERMS: disqualified; closes the account)."""
    return referrer.disqualified_at is not None or referrer.closed_at is not None
