"""Credit that pays for the lines of another system's purchase, as far as it goes (TERMS: Credit)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction

from accounts.retries import retried
from credits.operations import lines_sql as sql
from credits.operations.redemptions import LIMIT, UnableToRedeem, is_id
from credits.spreading import Payable, Purse, Spread, spread


class Line(NamedTuple):
    """A line to pay: the code of its product, and US dollars."""

    product: str
    amount: Decimal


class CouponUsed(NamedTuple):
    """A coupon in its order of use, and what was left on it, in US dollars, before and after."""

    coupon_id: int
    kind: str
    expires_at: datetime
    before: Decimal
    after: Decimal


class CouponPart(NamedTuple):
    """What a coupon pays of a line, in US dollars."""

    coupon_id: int
    amount: Decimal


@dataclass(frozen=True)
class PaidLine:
    """A line, whether its product accepts credit, and which coupons pay what of it."""

    product: str
    amount: Decimal
    accepts_credit: bool
    parts: tuple[CouponPart, ...]

    @property
    def credit(self) -> Decimal:
        return sum((part.amount for part in self.parts), Decimal("0.00"))


@dataclass(frozen=True)
class PaidPurchase:
    """What credit pays of a purchase; `occurred_at` says when it was redeemed, and is empty where it was only asked."""

    redemption_id: str
    account_id: str
    occurred_at: datetime | None
    lines: tuple[PaidLine, ...]
    coupons: tuple[CouponUsed, ...]

    @property
    def amount(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal("0.00"))

    @property
    def credit(self) -> Decimal:
        return sum((line.credit for line in self.lines), Decimal("0.00"))


class _Payer(NamedTuple):
    """Whose credit pays, and whether it is frozen."""

    customer_id: int
    is_frozen: bool


class _Known(NamedTuple):
    """A redemption that is recorded under the id."""

    pk: int
    account_id: str
    occurred_at: datetime


class _Usable(NamedTuple):
    """A coupon, what of it may be used, and what is left on it before, in US dollars."""

    coupon_id: int
    kind: str
    expires_at: datetime
    usable: Decimal
    remaining: Decimal


@dataclass(frozen=True)
class _Purchase:
    """A purchase in the right form, from one system."""

    source: str
    redemption_id: str
    account_id: str
    lines: Sequence[Line]


@retried
def redeem_lines(
    *,
    source: str,
    redemption_id: str,
    account_id: str,
    lines: Sequence[Line],
    accepts_credit: Mapping[str, bool],
    now: datetime,
) -> PaidPurchase:
    """Pay the lines with the account's credit as of `now`, in part where less is left, and say who pays what.

    The lines in their order, the coupons in their order of use, never the trial; frozen credit pays nothing.
    `accepts_credit` is the catalogue, as far as the lines name it. The same id and lines again have the same answer and
    no effect. Locks the CreditAccount. Raises UnableToRedeem: id, amount, conflict, account, product (TERMS: Facts that
    are refused, in that order).
    """
    purchase = _purchase(source, redemption_id, account_id, lines)
    with transaction.atomic():
        try:
            # Two purchases of one customer at once would both use what is left: read only what the lock holds still.
            payer = _payer(purchase, accepts_credit, lock=True)
            paid = _paid(purchase, payer, accepts_credit, now)
            is_new = _record(purchase, payer, paid, now)
        except UnableToRedeem as fault:
            return _known_or_refused(purchase, fault)
        return paid if is_new else _known_or_refused(purchase, UnableToRedeem("conflict"))


def preview_lines(
    *,
    source: str,
    redemption_id: str,
    account_id: str,
    lines: Sequence[Line],
    accepts_credit: Mapping[str, bool],
    now: datetime,
) -> PaidPurchase:
    """Say what `redeem_lines` would answer now, and write and lock nothing. Raises UnableToRedeem, as that does."""
    purchase = _purchase(source, redemption_id, account_id, lines)
    known = _known(purchase)
    return known or _paid(purchase, _payer(purchase, accepts_credit, lock=False), accepts_credit, now, is_preview=True)


def _purchase(source: str, redemption_id: str, account_id: str, lines: Sequence[Line]) -> _Purchase:
    """Check the form. Raises UnableToRedeem: id, amount."""
    if not (is_id(redemption_id) and is_id(account_id)):
        raise UnableToRedeem("id")
    for place, line in enumerate(lines):
        if not (0 < line.amount < LIMIT and line.amount == round(line.amount, 2)):
            raise UnableToRedeem("amount", line=place)
    if not 0 < sum(line.amount for line in lines) < LIMIT:
        raise UnableToRedeem("amount")
    return _Purchase(source, redemption_id, account_id, lines)


def _payer(purchase: _Purchase, accepts_credit: Mapping[str, bool], *, lock: bool) -> _Payer:
    """Return who is to pay what the catalogue has. Raises UnableToRedeem: account, product."""
    statement = f"{sql.PAYER} FOR NO KEY UPDATE OF credits_creditaccount" if lock else sql.PAYER
    with connection.cursor() as cursor:
        cursor.execute(statement, {"account": purchase.account_id})
        found = cursor.fetchone()
    if found is None:
        raise UnableToRedeem("account")
    for place, line in enumerate(purchase.lines):
        if line.product not in accepts_credit:
            raise UnableToRedeem("product", line=place)
    return _Payer(*found)


def _known_or_refused(purchase: _Purchase, fault: UnableToRedeem) -> PaidPurchase:
    """Return what was answered to the same purchase: an id that is known comes before all but the form."""
    known = _known(purchase)
    if known is None:
        raise fault
    return known


def _known(purchase: _Purchase) -> PaidPurchase | None:
    """Return what was answered to the same purchase. Raises UnableToRedeem: conflict."""
    with connection.cursor() as cursor:
        cursor.execute(sql.KNOWN, {"source": purchase.source, "name": purchase.redemption_id})
        found = cursor.fetchone()
        if found is None:
            return None
        known = _Known(*found)
        cursor.execute(sql.LINES, {"redemption": known.pk})
        lines = cursor.fetchall()
        if known.account_id != purchase.account_id or [Line(*line[:2]) for line in lines] != list(purchase.lines):
            raise UnableToRedeem("conflict")
        cursor.execute(sql.USED, {"redemption": known.pk})
        used = [_Usable(*row) for row in cursor.fetchall()]
    return _shared_out(purchase, [accepts for *_, accepts in lines], used, known.occurred_at)


def _paid(
    purchase: _Purchase,
    payer: _Payer,
    accepts_credit: Mapping[str, bool],
    now: datetime,
    *,
    is_preview: bool = False,
) -> PaidPurchase:
    """Say what credit pays as of `now`."""
    usable = [] if payer.is_frozen else _usable(payer.customer_id, now)
    accepts = [accepts_credit[line.product] for line in purchase.lines]
    return _shared_out(purchase, accepts, usable, None if is_preview else now)


def _usable(customer_id: int, now: datetime) -> list[_Usable]:
    with connection.cursor() as cursor:
        cursor.execute(sql.USABLE, {"customer": customer_id, "now": now})
        return [_Usable(*row) for row in cursor.fetchall()]


def _shared_out(
    purchase: _Purchase, accepts: Sequence[bool], coupons: Sequence[_Usable], at: datetime | None
) -> PaidPurchase:
    """Share the coupons out over the lines.

    From what a purchase has used of its coupons it comes to the same as from what was left on them then: each is used
    up before the next one is begun. So an answer need not be kept.
    """
    payable = [Payable(line.amount, False, yes) for line, yes in zip(purchase.lines, accepts, strict=True)]
    paid = spread(lines=payable, purses=[Purse(coupon.coupon_id, False, coupon.usable) for coupon in coupons])
    lines = (
        PaidLine(line.product, line.amount, yes, _parts_of(place, paid))
        for place, (line, yes) in enumerate(zip(purchase.lines, accepts, strict=True))
    )
    used = (
        CouponUsed(coupon.coupon_id, coupon.kind, coupon.expires_at, coupon.remaining, coupon.remaining - amount)
        for coupon in coupons
        if (amount := paid.of_coupon(coupon.coupon_id))
    )
    return PaidPurchase(purchase.redemption_id, purchase.account_id, at, tuple(lines), tuple(used))


def _parts_of(place: int, paid: Spread) -> tuple[CouponPart, ...]:
    return tuple(CouponPart(part.coupon_id, part.amount) for part in paid.parts if part.line == place)


def _record(purchase: _Purchase, payer: _Payer, paid: PaidPurchase, now: datetime) -> bool:
    """Write the redemption, its lines and entries; return False, with nothing written, where another has its id."""
    parameters: dict[str, Any] = {
        "source": purchase.source,
        "name": purchase.redemption_id,
        "customer": payer.customer_id,
        "paid": paid.credit,
        "products": [line.product for line in paid.lines],
        "accepts": [line.accepts_credit for line in paid.lines],
        "amounts": [line.amount for line in paid.lines],
        "pays": [line.credit for line in paid.lines],
        "coupons": [coupon.coupon_id for coupon in paid.coupons],
        "parts": [coupon.before - coupon.after for coupon in paid.coupons],
        "balances": [coupon.after for coupon in paid.coupons],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.RECORD, parameters)
        return cursor.fetchone() is not None
