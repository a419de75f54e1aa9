"""Credit that a refunded order gives back (TERMS: Credit)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction
from djmoney.money import Money

from accounts.retries import retried
from credits.models import Coupon, CouponEntry, Redemption, RedemptionReturn
from credits.operations import redemptions_sql as sql
from credits.operations.coupons import lock_accounts
from credits.operations.redemptions import Entry, is_id, is_payable, write_entries
from credits.signals import coupons_expired


class UnableToGiveBack(Exception):
    """The return is refused: `code` is `redemption` (unknown), `id`, `amount`, `currency`, `time` (before the
    redemption), `conflict` or `exceeds`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Held(NamedTuple):
    """A coupon of which the redemption still holds an amount, in US dollars."""

    coupon_id: int
    friend_id: int | None
    kind: str
    remaining: Decimal
    expires_at: datetime
    withdrawn_at: datetime | None
    held: Decimal


@dataclass
class _OpenDebt:
    debt_id: int
    friend_id: int
    kind: str
    source: str
    outstanding: Decimal


class _MadeGood(NamedTuple):
    """What came back for a debt, and what is outstanding after it."""

    debt_id: int
    amount: Decimal
    balance_after: Decimal


@retried
def give_back(
    *, source: str, redemption_id: str, return_id: str, amount: Money, occurred_at: datetime | None, now: datetime
) -> RedemptionReturn:
    """Give back US dollars of a redemption to the coupons that it used, in reverse order of use (TERMS: Credit).

    What comes back is first revoked against an open debt of the same reward; it expires at once where the coupon has
    expired by `occurred_at`, and is revoked at once where the coupon was withdrawn; else it is usable again. The same
    return again has no effect. Where `occurred_at` is not said it is `now`, and the same return is one of the same
    amount. Locks the CreditAccount. Raises UnableToGiveBack.
    """
    redemption = _redemption(source, redemption_id)
    dollars = _dollars(amount)
    if not is_id(return_id):
        raise UnableToGiveBack("id")
    at = max(now, redemption.occurred_at) if occurred_at is None else occurred_at
    if at < redemption.occurred_at:
        raise UnableToGiveBack("time")
    with transaction.atomic():
        # Two returns at once would both give back what is held: read only what the lock holds still.
        lock_accounts(customer_ids=[redemption.customer_id])
        given, is_new = RedemptionReturn.objects.get_or_create(
            redemption=redemption,
            return_id=return_id,
            defaults={"amount": dollars, "occurred_at": at, "recorded_at": now},
        )
        if not is_new and (given.amount.amount, given.occurred_at) != (dollars, occurred_at or given.occurred_at):
            raise UnableToGiveBack("conflict")
        if is_new:
            _give_back(redemption, return_id, dollars, at, now)
    return given


@dataclass(frozen=True)
class GivenBack:
    """A return, what each coupon got of it, in reverse order of use, and what the redemption held after it."""

    given: RedemptionReturn
    coupons: tuple[tuple[int, Decimal], ...]
    left: Decimal


def return_credit(*, source: str, redemption_id: str, return_id: str, amount: Money, now: datetime) -> GivenBack:
    """Give back US dollars of a redemption as of `now` (`give_back`), and say to which coupons.

    The same return again has the same answer and no effect. Raises UnableToGiveBack.
    """
    given = give_back(
        source=source, redemption_id=redemption_id, return_id=return_id, amount=amount, occurred_at=None, now=now
    )
    of: dict[str, Any] = {"redemption": given.redemption_id, "return": given.pk, "name": return_id}
    with connection.cursor() as cursor:
        cursor.execute(sql.RETURNED, of)
        coupons = cursor.fetchall()
        cursor.execute(sql.LEFT, of)
        return GivenBack(given, tuple(coupons), cursor.fetchone()[0])


def _redemption(source: str, redemption_id: str) -> Redemption:
    if not is_id(redemption_id):
        raise UnableToGiveBack("redemption")
    try:
        return Redemption.objects.get(source=source, redemption_id=redemption_id)
    except Redemption.DoesNotExist as fault:
        raise UnableToGiveBack("redemption") from fault


def _dollars(amount: Money) -> Decimal:
    if amount.currency.code != "USD":
        raise UnableToGiveBack("currency")
    if not is_payable(amount):
        raise UnableToGiveBack("amount")
    return Decimal(amount.amount)


def _give_back(redemption: Redemption, return_id: str, amount: Decimal, at: datetime, now: datetime) -> None:
    held, debts = _read(redemption)
    if amount > sum((coupon.held for coupon in held), Decimal(0)):
        raise UnableToGiveBack("exceeds")
    entries: list[Entry] = []
    made_good: list[_MadeGood] = []
    for coupon in held:
        part = min(amount, coupon.held)
        amount -= part
        if part:
            good = list(_make_good(coupon, part, debts))
            made_good += [made for made, _ in good]
            revoked = [(made.amount, source) for made, source in good]
            entries += _return_to(coupon, part, revoked, redemption.redemption_id, return_id, at)
    write_entries(entries=entries, redemptions={redemption.redemption_id: redemption.pk}, now=now)
    if expired := [entry.coupon_id for entry in entries if entry.type == CouponEntry.Type.EXPIRE]:
        coupons_expired.send(sender=Coupon, coupon_ids=expired, now=now)
    _write_made_good(made_good, return_id, at, now)


def _read(redemption: Redemption) -> tuple[list[_Held], list[_OpenDebt]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.HELD, {"redemption": redemption.pk})
        held = [_Held(*row) for row in cursor.fetchall()]
        cursor.execute(sql.OPEN_DEBTS, {"customer": redemption.customer_id})
        return held, [_OpenDebt(*row) for row in cursor.fetchall()]


def _make_good(coupon: _Held, amount: Decimal, debts: Sequence[_OpenDebt]) -> Iterator[tuple[_MadeGood, str]]:
    """Lower the open debts of the coupon's reward, oldest first, by at most `amount`; yield by how much, and which."""
    for debt in debts:
        part = min(amount, debt.outstanding)
        if part and (debt.friend_id, debt.kind) == (coupon.friend_id, coupon.kind):
            amount -= part
            debt.outstanding -= part
            yield _MadeGood(debt.debt_id, part, debt.outstanding), debt.source


def _return_to(
    coupon: _Held,
    part: Decimal,
    revoked: Sequence[tuple[Decimal, str]],
    redemption_id: str,
    return_id: str,
    at: datetime,
) -> Iterator[Entry]:
    """Yield the entries of what comes back to one coupon: the return, what debts take of it, what does not stay."""
    left = coupon.remaining + part
    yield Entry(coupon.coupon_id, "RETURN", part, left, redemption_id, return_id, at)
    for amount, debt in revoked:
        part -= amount
        left -= amount
        yield Entry(coupon.coupon_id, "REVOKE", -amount, left, None, debt, at)
    if part and coupon.expires_at <= at:
        # Together with what the expiry sweep has not taken yet: a coupon expires as a whole.
        yield Entry(coupon.coupon_id, "EXPIRE", -left, Decimal(0), None, return_id, at)
    elif part and coupon.withdrawn_at:
        yield Entry(coupon.coupon_id, "REVOKE", -part, left - part, None, return_id, at)


def _write_made_good(made_good: Sequence[_MadeGood], return_id: str, at: datetime, now: datetime) -> None:
    parameters: dict[str, Any] = {
        "debts": [made.debt_id for made in made_good],
        "amounts": [made.amount for made in made_good],
        "balances": [made.balance_after for made in made_good],
        "reference": return_id,
        "at": at,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.MAKE_GOOD, parameters)
