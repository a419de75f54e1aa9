"""What pages and exports read of a customer's credit. Money is in US dollars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import IO, NamedTuple

from django.db import connection, models
from django.db.models import Case, Count, Min, Q, QuerySet, Sum, Value, When
from django.utils.translation import gettext_lazy as _
from djmoney.money import Money

from accounts.keyset import Page, Place, page_of
from credits.forecast import LOOKED_BACK
from credits.models import Coupon, CouponEntry, CouponKind, CreditAccount, Debt

# As many as a screen shows, so that a page costs the same for ten coupons and for ten thousand.
PAGE_SIZE = 10
ENTRIES_PAGE_SIZE = 50


class Shelf(models.TextChoices):
    """Where a coupon stands for its owner: every issued coupon stands on exactly one shelf."""

    USABLE = "usable", _("Usable")
    USED_UP = "used-up", _("Used up")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")


def on_shelf(shelf: Shelf, now: datetime) -> Q:
    """Return the condition that a coupon stands on `shelf` at `now`, swept or not (TERMS: Credit)."""
    return Q(issued_at__lte=now) & _issued_on_shelf(shelf, now)


def _issued_on_shelf(shelf: Shelf, now: datetime) -> Q:
    """The same of one that has been issued."""
    expired = Q(expired__gt=0) | Q(remaining__gt=0, expires_at__lte=now)
    shelves = {
        Shelf.USABLE: Q(remaining__gt=0, expired=0, expires_at__gt=now),
        Shelf.USED_UP: Q(remaining=0, expired=0, revoked=0),
        Shelf.EXPIRED: expired,
        Shelf.REVOKED: Q(remaining=0, expired=0, revoked__gt=0),
    }
    return shelves[shelf]


def shelf_of(coupon: Coupon, now: datetime) -> Shelf:
    """Return the shelf that `on_shelf` finds the coupon on."""
    if coupon.expired.amount or (coupon.remaining.amount and coupon.expires_at <= now):
        return Shelf.EXPIRED
    if coupon.remaining.amount:
        return Shelf.USABLE
    return Shelf.REVOKED if coupon.revoked.amount else Shelf.USED_UP


@dataclass(frozen=True)
class Balance:
    """What is left of credit and trial at an instant, how many coupons are on each shelf, since when it is frozen."""

    credit: Money
    trial: Money
    trial_expires_at: datetime | None
    shelves: dict[Shelf, int]
    frozen_at: datetime | None

    @property
    def usable(self) -> Money:
        """What the next order can use: of frozen credit nothing."""
        return Money(0, "USD") if self.frozen_at else self.credit


def balance(*, customer_id: int, now: datetime) -> Balance:
    """Return what the customer has at `now`. One statement, which judges each coupon once."""
    shelf = Case(*(When(_issued_on_shelf(shelf, now), then=Value(shelf.value)) for shelf in Shelf))
    groups = (
        Coupon.objects.filter(customer=customer_id, issued_at__lte=now)
        .order_by()
        .values("customer__frozen_at", is_trial=Q(kind=CouponKind.TRIAL), shelf=shelf)
        .annotate(left=Sum("remaining"), expires_at=Min("expires_at"), number=Count("*"))
    )
    shelves, left, frozen_at = dict.fromkeys(Shelf, 0), {False: Decimal(0), True: Decimal(0)}, None
    trial_expires_at = None
    for group in groups:
        shelves[Shelf(group["shelf"])] += group["number"]
        frozen_at = group["customer__frozen_at"]
        if group["shelf"] == Shelf.USABLE:
            left[group["is_trial"]] = group["left"]
            trial_expires_at = group["expires_at"] if group["is_trial"] else trial_expires_at
    return Balance(
        credit=Money(left[False], "USD"),
        trial=Money(left[True], "USD"),
        trial_expires_at=trial_expires_at,
        shelves=shelves,
        frozen_at=frozen_at,
    )


class Expiring(NamedTuple):
    """What of the credit expires at an instant."""

    remaining: Money
    expires_at: datetime


def soonest_expiring(*, customer_id: int, now: datetime) -> Expiring | None:
    """Return all of the credit that expires next: what the next order uses first. One statement."""
    usable = Coupon.objects.filter(customer=customer_id).credit().usable_at(now)
    found = usable.order_by("expires_at").values_list("expires_at").annotate(left=Sum("remaining")).first()
    return Expiring(Money(found[1], "USD"), found[0]) if found else None


def coupons(*, customer_id: int, shelf: Shelf, after: Place | None, now: datetime) -> Page[Coupon]:
    """Return a page of a shelf: usable coupons soonest-expiring first, others latest first. One statement."""
    rows = Coupon.objects.filter(on_shelf(shelf, now), customer=customer_id).select_related("friend")
    return page_of(rows, by="expires_at", after=after, size=PAGE_SIZE, newest_first=shelf != Shelf.USABLE)


COUPON_COLUMNS = (
    "coupon_id",
    "kind",
    "state",
    "friend_joined",
    "friend_first_name",
    "amount",
    "left",
    "used",
    "expired",
    "revoked",
    "received_at",
    "expires_at",
)


def coupon_rows(*, customer_id: int, now: datetime) -> Iterator[Sequence[object]]:
    """Return all of the customer's coupons as COUPON_COLUMNS, oldest first, as Postgres sends them. One statement.

    Of a friend it says what the pages say: the month in which they joined, and a first name that they made public. What
    is left on a coupon that has expired counts as expired, swept or not.
    """
    rows = Coupon.objects.filter(customer=customer_id, issued_at__lte=now).select_related("friend").order_by("pk")
    return (_coupon_row(coupon, shelf_of(coupon, now)) for coupon in rows.iterator())


def _coupon_row(coupon: Coupon, shelf: Shelf) -> Sequence[object]:
    friend, left, expired = coupon.friend, coupon.remaining.amount, coupon.expired.amount
    joined = friend.registered_at if friend else None
    if shelf == Shelf.EXPIRED:
        left, expired = left * 0, expired + left
    return (
        coupon.pk,
        coupon.kind,
        shelf.value,
        f"{joined:%Y-%m}" if joined else "",
        friend.public_first_name if friend and not friend.closed_at else "",
        coupon.amount.amount,
        left,
        coupon.redeemed.amount,
        expired,
        coupon.revoked.amount,
        coupon.issued_at,
        coupon.expires_at,
    )


ENTRY_COLUMNS = ("entry_id", "type", "amount", "left_after_it", "order", "occurred_at")


def entry_rows(*, customer_id: int, coupon_id: int) -> Iterator[Sequence[object]]:
    """Return every movement on one coupon as ENTRY_COLUMNS, in the order recorded. Two statements.

    Raises Coupon.DoesNotExist at once where the coupon is not the customer's.
    """
    coupon = Coupon.objects.only("pk").get(pk=coupon_id, customer=customer_id)
    rows = CouponEntry.objects.filter(coupon=coupon).order_by("pk")
    columns = ("pk", "type", "amount", "balance_after", "redemption__redemption_id", "occurred_at")
    return (tuple(row) for row in rows.values_list(*columns).iterator())


def open_debts(*, customer_id: int) -> QuerySet[Debt]:
    """Return what the customer's next grants settle, oldest first."""
    debts = Debt.objects.filter(customer=customer_id, outstanding__gt=0)
    return debts.select_related("friend").order_by("opened_at", "pk")


def entries(*, coupon_id: int, after: int) -> QuerySet[CouponEntry]:
    """Return the movements on a coupon after the entry `after`, in the order in which they were recorded, one page."""
    rows = CouponEntry.objects.filter(coupon=coupon_id, pk__gt=after).select_related("redemption").order_by("pk")
    return rows[: ENTRIES_PAGE_SIZE + 1]


EXPORT_COUPONS = """
COPY (
    SELECT coupon.id AS coupon_id, customer.account_id, coupon.kind, friend.account_id AS friend_id,
           amount, remaining, redeemed, expired, revoked,
           utc_text(issued_at) AS issued_at, utc_text(expires_at) AS expires_at
    FROM credits_coupon AS coupon
    JOIN accounts_user AS customer ON customer.id = coupon.customer_id
    LEFT JOIN accounts_user AS friend ON friend.id = coupon.friend_id
    ORDER BY coupon.id
) TO STDOUT WITH (FORMAT csv, HEADER)
"""

EXPORT_ENTRIES = """
COPY (
    SELECT entry.id AS entry_id, entry.coupon_id, customer.account_id, entry.type, entry.amount, entry.balance_after,
           entry.reference, utc_text(entry.occurred_at) AS occurred_at, utc_text(entry.recorded_at) AS recorded_at
    FROM credits_couponentry AS entry
    JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
    JOIN accounts_user AS customer ON customer.id = coupon.customer_id
    ORDER BY entry.id
) TO STDOUT WITH (FORMAT csv, HEADER)
"""


def export_coupons(*, to: IO[str]) -> int:
    """Write every coupon to `to` as CSV, row by row as Postgres sends it; return how many. One statement."""
    with connection.cursor() as cursor:
        cursor.copy_expert(EXPORT_COUPONS, to)
        return int(cursor.rowcount)


def export_entries(*, to: IO[str]) -> int:
    """Write every movement on every coupon to `to` as CSV, row by row; return how many. One statement."""
    with connection.cursor() as cursor:
        cursor.copy_expert(EXPORT_ENTRIES, to)
        return int(cursor.rowcount)


@dataclass(frozen=True)
class AccountCredit:
    """What an account has at an instant: its usable coupons in their order of use, and its open debts, oldest first."""

    usable: Money
    trial: Money
    is_frozen: bool
    coupons: list[Coupon]
    debts: list[Debt]


def credit_of_account(*, account_id: str, now: datetime) -> AccountCredit:
    """Return what an account has at `now`; frozen credit is not usable. Three statements.

    Raises CreditAccount.DoesNotExist.
    """
    account = CreditAccount.objects.get(customer__account_id=account_id)
    coupons = list(Coupon.objects.filter(customer=account.pk).usable_at(now).in_order_of_use())
    usable = [coupon.remaining for coupon in coupons if coupon.kind != CouponKind.TRIAL]
    trial = [coupon.remaining for coupon in coupons if coupon.kind == CouponKind.TRIAL]
    nothing, is_frozen = Money(0, "USD"), account.frozen_at is not None
    return AccountCredit(
        usable=nothing if is_frozen else sum(usable, nothing),
        trial=nothing if is_frozen else sum(trial, nothing),
        is_frozen=is_frozen,
        coupons=coupons,
        debts=list(open_debts(customer_id=account.pk)),
    )


def used_before(*, customer_id: int, now: datetime) -> dict[bool, Decimal]:
    """Return what the customer used in the last 90 days, less what came back of it: of credit, and of the trial (True).

    One statement. It is the pace that `credits.forecast` goes on with.
    """
    moved = (
        CouponEntry.objects.filter(
            redemption__customer=customer_id, redemption__occurred_at__gte=now - LOOKED_BACK, occurred_at__lt=now
        )
        .order_by()
        .values(is_trial=Q(coupon__kind=CouponKind.TRIAL))
        .annotate(moved=Sum("amount"))
    )
    found = {group["is_trial"]: max(-Decimal(group["moved"]), Decimal(0)) for group in moved}
    return {is_trial: found.get(is_trial, Decimal(0)) for is_trial in (False, True)}
