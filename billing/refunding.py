"""What of an order can come back, and what a refund of it comes to. Pure: no clock, no database.

A line comes back in the proportion in which it was paid (`billing.proportions`); no more of its cash than is left
after what came back earlier, and after what the cardholder's bank took back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from django.utils.translation import gettext_lazy as _

from billing.proportions import CENT, Parts, most_returnable, returned, returned_next

Wanted = tuple[int, Decimal]
"""The position of a line, and how much of it is to come back, in US dollars."""


class UnableToRefund(Exception):
    """The refund is refused, and nothing has changed; `code` is one of `reasons`, which staff read."""

    reasons = {
        "unknown": _("There is no such order."),
        "state": _("The order is not paid: there is nothing to give back."),
        "line": _("The order has no such line, or the line was named twice."),
        "amount": _("An amount is whole cents above zero, and at least one is needed."),
        "exceeds": _("That is more than is left of the line after earlier refunds and disputes."),
        "pending": _("An earlier refund of this order has not ended yet. Try again in a minute."),
        "conflict": _("This refund was asked for before, with other content."),
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


@dataclass(frozen=True)
class LineLeft:
    """A line as it was paid, and what came back of it so far; amounts in US dollars.

    `refunded` counts refunds that are asked for or done, `disputed` the cash that the cardholder's bank holds.
    """

    line_id: int
    position: int
    name: str
    paid: Parts
    refunded: Decimal
    disputed: Decimal

    @cached_property
    def cash_left(self) -> Decimal:
        """The cash that can be refunded, or disputed, still."""
        return self.paid.cash - returned(paid=self.paid, amount=self.refunded).cash - self.disputed

    @cached_property
    def most(self) -> Decimal:
        """The greatest amount that can be refunded still."""
        return most_returnable(paid=self.paid, before=self.refunded, cash_left=self.cash_left)

    def next(self, amount: Decimal) -> Parts:
        """What comes back of each part with a further amount."""
        return returned_next(paid=self.paid, before=self.refunded, amount=amount)


@dataclass(frozen=True)
class PlannedLine:
    """What is to come back of one line."""

    left: LineLeft
    parts: Parts


@dataclass(frozen=True)
class PlannedRefund:
    """What is to come back in all, line by line, in the order in which the lines stand."""

    lines: tuple[PlannedLine, ...]

    @cached_property
    def parts(self) -> Parts:
        return Parts(*(sum(column, Decimal(0)) for column in zip(*(line.parts for line in self.lines), strict=True)))

    @property
    def content(self) -> list[Wanted]:
        """What names it: how much of which line."""
        return [(line.left.position, line.parts.total) for line in self.lines]


def plan(*, lefts: Sequence[LineLeft], wanted: Sequence[Wanted] | None) -> PlannedRefund:
    """Return what a refund comes to: of each line named its amount, or of every line all that is left.

    Raises UnableToRefund: line, amount, exceeds.
    """
    if wanted is None:
        wanted = [(left.position, left.most) for left in lefts if left.most]
        if not wanted:
            raise UnableToRefund("exceeds")
    by_position = {left.position: left for left in lefts}
    check_form(wanted, known=by_position)
    return PlannedRefund(tuple(_plan_line(by_position[position], amount) for position, amount in sorted(wanted)))


def check_form(wanted: Sequence[Wanted], *, known: Iterable[int]) -> None:
    """Refuse lines that are not there or come twice, and what is no amount of money. Raises UnableToRefund."""
    positions = [position for position, _ in wanted]
    if len(set(positions)) < len(positions) or not set(positions) <= set(known):
        raise UnableToRefund("line")
    if not wanted or not all(_is_payable(amount) for _, amount in wanted):
        raise UnableToRefund("amount")


def _is_payable(amount: Decimal) -> bool:
    return amount.is_finite() and amount > 0 and amount == amount.quantize(CENT)


def _plan_line(left: LineLeft, amount: Decimal) -> PlannedLine:
    if amount > left.most:
        raise UnableToRefund("exceeds")
    return PlannedLine(left, left.next(amount))
