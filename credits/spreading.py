"""How coupons pay for the lines of a purchase. Pure: no Django, no clock, no database.

The trial comes first, over the lines whose product accepts it, in the order in which the lines stand; then credit,
coupon by coupon in their order of use, over what is left of the lines whose product accepts credit, again in their
order; the rest is for cash. So every cent can be traced by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Payable(NamedTuple):
    """A line to pay, in US dollars, and what may pay for it."""

    amount: Decimal
    accepts_trial: bool
    accepts_credit: bool


class Purse(NamedTuple):
    """What is left on a coupon, in US dollars."""

    coupon_id: int
    is_trial: bool
    remaining: Decimal


class Part(NamedTuple):
    """What one coupon pays of one line, in US dollars; `line` is its place among the lines."""

    line: int
    coupon_id: int
    is_trial: bool
    amount: Decimal


@dataclass(frozen=True)
class Spread:
    """Who pays what, in the order in which it was taken: by line, then by coupon."""

    parts: tuple[Part, ...]

    def trial_of(self, line: int) -> Decimal:
        return self._sum(line=line, is_trial=True)

    def credit_of(self, line: int) -> Decimal:
        return self._sum(line=line, is_trial=False)

    def of_coupon(self, coupon_id: int) -> Decimal:
        return sum((part.amount for part in self.parts if part.coupon_id == coupon_id), Decimal(0))

    def _sum(self, *, line: int, is_trial: bool) -> Decimal:
        wanted = (part.amount for part in self.parts if part.line == line and part.is_trial == is_trial)
        return sum(wanted, Decimal(0))


def spread(*, lines: Sequence[Payable], purses: Sequence[Purse]) -> Spread:
    """Return what each coupon pays of each line; `purses` stand in their order of use (TERMS: Credit)."""
    left = [line.amount for line in lines]
    parts: list[Part] = []
    for is_trial in (True, False):
        remaining = {purse.coupon_id: purse.remaining for purse in purses if purse.is_trial == is_trial}
        for place, line in enumerate(lines):
            if line.accepts_trial if is_trial else line.accepts_credit:
                parts += _pay(place, left, remaining, is_trial=is_trial)
    return Spread(tuple(sorted(parts, key=lambda part: part.line)))


def _pay(place: int, left: list[Decimal], remaining: dict[int, Decimal], *, is_trial: bool) -> list[Part]:
    """Take what is left of a line from the coupons, in their order; lower both."""
    parts = []
    for coupon_id, purse in remaining.items():
        if amount := min(left[place], purse):
            left[place] -= amount
            remaining[coupon_id] -= amount
            parts.append(Part(place, coupon_id, is_trial, amount))
    return parts
