"""What comes back of an order's cash, as facts about spend (TERMS: What counts as spend)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from billing.models import Order, SpendType
from billing.operations.spend import SpendFact, record_spend

SOURCE = "console"
"""Our own checkout issues these ids (DESIGN: A batch is the unit)."""


class Reversed(NamedTuple):
    """How much cash of a line came back or went again, in US dollars, and what lets it count once."""

    position: int
    amount: Decimal
    name: str


class UnableToRecordReversal(Exception):
    """A reversal of an order does not go into the books: they are wrong somewhere, and nothing is recorded."""


def record_reversals(*, order: Order, kind: SpendType, lines: Sequence[Reversed], at: datetime, now: datetime) -> None:
    """Record what came back of the lines' cash, each under the name of its payment and its own.

    Within the caller's transaction, which holds the Order. Raises UnableToRecordReversal.
    """
    if not lines:
        return
    receipt = record_spend(source=SOURCE, facts=[_fact(order, kind, line, at) for line in lines], now=now)
    if receipt.tally.accepted < len(lines):
        raise UnableToRecordReversal(f"{order.number}: {receipt.tally} {[one.code for one in receipt.refusals]}")


def _fact(order: Order, kind: SpendType, line: Reversed, at: datetime) -> SpendFact:
    payment_id = f"{order.number}-{line.position}"
    return SpendFact(
        line=line.position,
        event_id=f"{payment_id}-{line.name}",
        account_id=order.customer.account_id,
        type=kind,
        product="",
        currency="USD",
        amount=str(line.amount),
        occurred_at=at.isoformat(),
        payment_id=payment_id,
    )
