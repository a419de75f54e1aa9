"""How an amount divides in proportion, exact to the cent. Pure: no Django, no clock, no database.

Sainte-Laguë, by Webster's divisors: each share gets the whole cents that are surely its own, and the cents left go one
by one to the share that is furthest behind, the greatest of share / (2 x cents + 1). A greater amount never gives a
share less, so that what comes back in parts comes to the same as what comes back at once; and of three shares each is
within a cent of its exact proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

CENT = Decimal("0.01")


class Parts(NamedTuple):
    """Who paid how much of a line, or gets how much of it back, in US dollars."""

    cash: Decimal
    credit: Decimal
    trial: Decimal

    @property
    def total(self) -> Decimal:
        return self.cash + self.credit + self.trial


def divide(amount: Decimal, *, over: Sequence[Decimal]) -> list[Decimal]:
    """Return what each share gets of an amount that is at most their sum; none gets more than it is.

    Of shares equally far behind, the one that stands first goes first.
    """
    shares, cents = [_cents(share) for share in over], _cents(amount)
    whole = sum(shares)
    if not 0 <= cents <= whole:
        raise ValueError(f"{amount} cannot be divided over {over}")
    if not cents:
        return [Decimal(0)] * len(shares)
    got = [share * cents // whole for share in shares]
    for _ in range(cents - sum(got)):
        behind = [Fraction(share, 2 * so_far + 1) for share, so_far in zip(shares, got, strict=True)]
        got[behind.index(max(behind))] += 1
    return [one * CENT for one in got]


def returned(*, paid: Parts, amount: Decimal) -> Parts:
    """Return what has come back of each part of a line, once so much of the line has in all."""
    return Parts(*divide(amount, over=paid))


def returned_next(*, paid: Parts, before: Decimal, amount: Decimal) -> Parts:
    """Return what comes back of each part with `amount`, where `before` has come back in all: the difference."""
    then, now = returned(paid=paid, amount=before), returned(paid=paid, amount=before + amount)
    return Parts(*(after - earlier for earlier, after in zip(then, now, strict=True)))


def most_returnable(*, paid: Parts, before: Decimal, cash_left: Decimal) -> Decimal:
    """Return the greatest amount that can come back beside `before` with no more than `cash_left` of cash.

    Cash is short where the cardholder's bank has taken some of it back already.
    """
    least, most = 0, _cents(paid.total - before)
    while least < most:
        middle = (least + most + 1) // 2
        if returned_next(paid=paid, before=before, amount=middle * CENT).cash <= cash_left:
            least = middle
        else:
            most = middle - 1
    return least * CENT


def _cents(amount: Decimal) -> int:
    cents = amount / CENT
    if cents != int(cents):
        raise ValueError(f"{amount} is not in whole cents")
    return int(cents)
