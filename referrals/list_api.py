"""The API's lists of referrals and of the rewards granted for them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from accounts.api_door import Key, Problem, ProblemOut
from accounts.list_door import ListIn, ListOut, bad_cursor, refuse_unknown
from accounts.lists import UnableToReadCursor
from accounts.models import ApiKey
from credits.api import Dollars
from referrals.models import Referral, Reward
from referrals.queries.lists import referral_by_id, referral_list, reward_by_id, reward_list

router = Router(tags=["lists"])
read_referrals = Key(ApiKey.Scope.REFERRALS_READ)


class ReferralListIn(ListIn):
    """`account_id` is the friend's or the referrer's; `from` and `to` are about the friend's registration."""

    state: Literal["joined", "qualified", "paid", "held", "refused", "clawed_back"] | None = None


class ListedReferral(Schema):
    """A referral, in the columns of the export."""

    referral_id: int = Field(examples=[9])
    friend_id: str = Field(examples=["acct-9"])
    referrer_id: str = Field(examples=["acct-7"])
    status: str = Field(examples=["paid"], description="joined, qualified, paid, held, refused or clawed_back")
    registered_at: datetime
    qualifying_spend: Dollars = Field(examples=["25.00"])
    window_spend: Dollars = Field(examples=["25.00"])
    qualified_at: datetime | None
    payout_due_at: datetime | None
    bonus_due_at: datetime
    payout_granted: Dollars = Field(examples=["20.00"])
    bonus_granted: Dollars = Field(examples=["0.50"])


class ReferralsOut(ListOut):
    referrals: list[ListedReferral]


class RewardListIn(ListIn):
    """`account_id` is the referrer's; `from` and `to` are about the grant."""

    state: Literal["coupon", "debts"] | None = Field(None, description="whether a coupon was issued, or debts had all")
    kind: Literal["payout", "bonus"] | None = None


class ListedReward(Schema):
    """A grant: `amount` of a referral's payout or bonus, less `debts_settled`, went onto a coupon. It never changes."""

    reward_id: int = Field(examples=[12])
    referral_id: int = Field(examples=[9])
    account_id: str = Field(examples=["acct-7"], description="the referrer's")
    friend_id: str = Field(examples=["acct-9"])
    kind: str = Field(examples=["payout"])
    n: int = Field(examples=[1], description="the referral's first grant of this kind, its second, and so on")
    state: str = Field(examples=["coupon"], description="coupon; or debts, which had all of it")
    amount: Dollars = Field(examples=["20.00"])
    debts_settled: Dollars = Field(examples=["0.00"])
    coupon_id: int | None = Field(examples=[17])
    earned: Dollars = Field(examples=["20.00"])
    qualifying_spend: Dollars = Field(examples=["25.00"])
    window_spend: Dollars = Field(examples=["25.00"])
    granted_at: datetime
    recorded_at: datetime


class RewardsOut(ListOut):
    rewards: list[ListedReward]


@router.get(
    "/referrals",
    auth=read_referrals,
    response={200: ReferralsOut, (401, 403, 422, 429): ProblemOut},
    summary="All referrals, and which have changed",
)
def get_referrals(request: HttpRequest, asked: Query[ReferralListIn]) -> ReferralsOut:
    """List referrals in the order recorded, or those that have changed since an earlier answer."""
    refuse_unknown(request, ReferralListIn)
    try:
        part = referral_list(wanted=asked.wanted, turn=asked.turn)
    except UnableToReadCursor as fault:
        raise bad_cursor(fault) from None
    return ReferralsOut(referrals=list(map(listed_referral, part.rows)), next=part.next, changes=part.changes)


@router.get(
    "/referrals/{referral_id}",
    auth=read_referrals,
    response={200: ListedReferral, (401, 403, 404, 422, 429): ProblemOut},
    summary="A referral",
)
def get_referral(request: HttpRequest, referral_id: int) -> ListedReferral:
    """Return a referral as it stands now."""
    try:
        return listed_referral(referral_by_id(referral_id=referral_id))
    except Referral.DoesNotExist:
        raise Problem(404, "referral", "There is no such referral.") from None


@router.get(
    "/rewards",
    auth=read_referrals,
    response={200: RewardsOut, (401, 403, 422, 429): ProblemOut},
    summary="All rewards granted, and which are new",
)
def get_rewards(request: HttpRequest, asked: Query[RewardListIn]) -> RewardsOut:
    """List rewards in the order granted, or those that were granted since an earlier answer."""
    refuse_unknown(request, RewardListIn)
    try:
        part = reward_list(wanted=asked.wanted, turn=asked.turn)
    except UnableToReadCursor as fault:
        raise bad_cursor(fault) from None
    return RewardsOut(rewards=list(map(listed_reward, part.rows)), next=part.next, changes=part.changes)


@router.get(
    "/rewards/{reward_id}",
    auth=read_referrals,
    response={200: ListedReward, (401, 403, 404, 422, 429): ProblemOut},
    summary="A reward",
)
def get_reward(request: HttpRequest, reward_id: int) -> ListedReward:
    """Return a reward."""
    try:
        return listed_reward(reward_by_id(reward_id=reward_id))
    except Reward.DoesNotExist:
        raise Problem(404, "reward", "There is no such reward.") from None


def listed_referral(referral: Referral) -> ListedReferral:
    return ListedReferral(
        referral_id=referral.pk,
        friend_id=referral.friend.account_id,
        referrer_id=referral.referrer.account_id,
        status=referral.stage,  # type: ignore[attr-defined]
        registered_at=referral.registered_at,
        qualifying_spend=referral.qualifying_spend.amount,
        window_spend=referral.window_spend.amount,
        qualified_at=referral.qualified_at,
        payout_due_at=referral.payout_due_at,
        bonus_due_at=referral.bonus_due_at,
        payout_granted=referral.payout_granted.amount,
        bonus_granted=referral.bonus_granted.amount,
    )


def listed_reward(reward: Reward) -> ListedReward:
    return ListedReward(
        reward_id=reward.pk,
        referral_id=reward.referral_id,
        account_id=reward.referral.referrer.account_id,
        friend_id=reward.referral.friend.account_id,
        kind=reward.kind,
        n=reward.n,
        state="coupon" if reward.coupon_id else "debts",
        amount=reward.amount.amount,
        debts_settled=reward.debts_settled.amount,
        coupon_id=reward.coupon_id,
        earned=reward.earned.amount,
        qualifying_spend=reward.qualifying_spend.amount,
        window_spend=reward.window_spend.amount,
        granted_at=reward.granted_at,
        recorded_at=reward.recorded_at,
    )
