"""The API's lists of coupons and of the movements on them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from accounts import clock
from accounts.api_door import Key, Problem, ProblemOut
from accounts.list_door import ListIn, ListOut, bad_cursor, refuse_unknown
from accounts.lists import UnableToReadCursor
from accounts.models import ApiKey
from credits.api import Dollars
from credits.list_queries import coupon_by_id, coupon_list, entry_by_id, entry_list
from credits.models import Coupon, CouponEntry
from credits.queries import shelf_of

router = Router(tags=["lists"])
read_credit = Key(ApiKey.Scope.CREDIT_READ)


class CouponListIn(ListIn):
    """`from` and `to` are about the instant of issue."""

    state: Literal["usable", "used-up", "expired", "revoked"] | None = None
    kind: Literal["welcome", "payout", "bonus", "goodwill", "trial"] | None = None


class ListedCoupon(Schema):
    """A coupon, in the columns of the export; `friend_id` is whose referral earned it, for a payout or a bonus."""

    coupon_id: int = Field(examples=[17])
    account_id: str = Field(examples=["acct-7"])
    kind: str = Field(examples=["payout"])
    state: str = Field(examples=["usable"], description="usable, used-up, expired or revoked, as of now")
    friend_id: str | None = Field(examples=["acct-9"])
    amount: Dollars = Field(examples=["20.00"])
    remaining: Dollars = Field(examples=["15.00"])
    redeemed: Dollars = Field(examples=["5.00"])
    expired: Dollars = Field(examples=["0.00"])
    revoked: Dollars = Field(examples=["0.00"])
    issued_at: datetime
    expires_at: datetime


class CouponsOut(ListOut):
    coupons: list[ListedCoupon]


class EntryListIn(ListIn):
    """`from` and `to` are about when a movement took effect."""

    kind: Literal["ISSUE", "REDEEM", "RETURN", "EXPIRE", "REVOKE"] | None = Field(None, alias="type")


class ListedEntry(Schema):
    """A movement on a coupon, in the columns of the export; it never changes."""

    entry_id: int = Field(examples=[1702])
    coupon_id: int = Field(examples=[17])
    account_id: str = Field(examples=["acct-7"])
    type: str = Field(examples=["REDEEM"], description="ISSUE, REDEEM, RETURN, EXPIRE or REVOKE")
    amount: Dollars = Field(examples=["-5.00"], description="signed")
    balance_after: Dollars = Field(examples=["15.00"])
    reference: str = Field(examples=["order-2026-000123"])
    occurred_at: datetime
    recorded_at: datetime


class EntriesOut(ListOut):
    entries: list[ListedEntry]


@router.get(
    "/coupons",
    auth=read_credit,
    response={200: CouponsOut, (401, 403, 422, 429): ProblemOut},
    summary="All coupons, and which have changed",
)
def get_coupons(request: HttpRequest, asked: Query[CouponListIn]) -> CouponsOut:
    """List coupons in the order issued, or those that have changed since an earlier answer."""
    refuse_unknown(request, CouponListIn)
    now = clock.now()
    try:
        part = coupon_list(wanted=asked.wanted, turn=asked.turn, now=now)
    except UnableToReadCursor as fault:
        raise bad_cursor(fault) from None
    rows = [listed_coupon(coupon, now) for coupon in part.rows]
    return CouponsOut(coupons=rows, next=part.next, changes=part.changes)


@router.get(
    "/coupons/{coupon_id}",
    auth=read_credit,
    response={200: ListedCoupon, (401, 403, 404, 422, 429): ProblemOut},
    summary="A coupon",
)
def get_coupon(request: HttpRequest, coupon_id: int) -> ListedCoupon:
    """Return a coupon as it stands now."""
    try:
        return listed_coupon(coupon_by_id(coupon_id=coupon_id), clock.now())
    except Coupon.DoesNotExist:
        raise Problem(404, "coupon", "There is no such coupon.") from None


@router.get(
    "/entries",
    auth=read_credit,
    response={200: EntriesOut, (401, 403, 422, 429): ProblemOut},
    summary="All movements on coupons, and which are new",
)
def get_entries(request: HttpRequest, asked: Query[EntryListIn]) -> EntriesOut:
    """List movements in the order recorded, or those that were recorded since an earlier answer."""
    refuse_unknown(request, EntryListIn)
    try:
        part = entry_list(wanted=asked.wanted, turn=asked.turn)
    except UnableToReadCursor as fault:
        raise bad_cursor(fault) from None
    return EntriesOut(entries=list(map(listed_entry, part.rows)), next=part.next, changes=part.changes)


@router.get(
    "/entries/{entry_id}",
    auth=read_credit,
    response={200: ListedEntry, (401, 403, 404, 422, 429): ProblemOut},
    summary="A movement on a coupon",
)
def get_entry(request: HttpRequest, entry_id: int) -> ListedEntry:
    """Return a movement on a coupon."""
    try:
        return listed_entry(entry_by_id(entry_id=entry_id))
    except CouponEntry.DoesNotExist:
        raise Problem(404, "entry", "There is no such movement.") from None


def listed_coupon(coupon: Coupon, now: datetime) -> ListedCoupon:
    return ListedCoupon(
        coupon_id=coupon.pk,
        account_id=coupon.customer.customer.account_id,
        kind=coupon.kind,
        state=shelf_of(coupon, now).value,
        friend_id=coupon.friend.account_id if coupon.friend else None,
        amount=coupon.amount.amount,
        remaining=coupon.remaining.amount,
        redeemed=coupon.redeemed.amount,
        expired=coupon.expired.amount,
        revoked=coupon.revoked.amount,
        issued_at=coupon.issued_at,
        expires_at=coupon.expires_at,
    )


def listed_entry(entry: CouponEntry) -> ListedEntry:
    return ListedEntry(
        entry_id=entry.pk,
        coupon_id=entry.coupon_id,
        account_id=entry.coupon.customer.customer.account_id,
        type=entry.type,
        amount=entry.amount.amount,
        balance_after=entry.balance_after.amount,
        reference=entry.reference,
        occurred_at=entry.occurred_at,
        recorded_at=entry.recorded_at,
    )
