"""The proof of the books: each invariant that spans rows, as one statement over all rows (DESIGN: `manage.py audit`).

What a single row must obey is held by the database's own constraints and triggers.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from referral_site.audit import credit, orders, programme, refunds, spend, webhooks
from referral_site.audit.invariant import Invariant

__all__ = ["INVARIANTS", "MOST_ROWS", "Finding", "Invariant", "audit", "bounded", "one_pass"]

INVARIANTS: tuple[Invariant, ...] = (
    *credit.INVARIANTS,
    *spend.INVARIANTS,
    *orders.INVARIANTS,
    *refunds.INVARIANTS,
    *programme.INVARIANTS,
    *webhooks.INVARIANTS,
)
# The rows of an invariant that are kept; the others are counted.
MOST_ROWS = 1000

# A nested loop looks a row up for each row, for as many as there are, where the statistics promised a few.
NO_LOOKUPS = "SET LOCAL enable_nestloop = off"
BOUNDED = "SELECT count(*) OVER () AS in_all, found.* FROM ({statement}) AS found LIMIT %(most)s"


@dataclass(frozen=True)
class Finding:
    """An invariant, and the rows that break it: how many, and some of them, each as its columns by name."""

    invariant: Invariant
    rows: list[dict[str, object]]
    in_all: int
    seconds: float

    @property
    def lines(self) -> list[str]:
        """What there is to print: nothing where the invariant holds, else a line a row under its name and sentence."""
        if not self.rows:
            return []
        head = f"{self.invariant.name}: {self.invariant.sentence}"
        lines = ["  " + " ".join(f"{name}={value}" for name, value in row.items()) for row in self.rows]
        more = self.in_all - len(self.rows)
        return [head, *lines, *([f"  and {more} more"] if more else [])]


def audit(
    *, now: datetime, invariants: Sequence[Invariant] = INVARIANTS, most_rows: int = MOST_ROWS
) -> Iterator[Finding]:
    """Check the invariants one by one, each in one statement that sees one state of all tables.

    `now` tells what has waited too long. Of the rows that break an invariant at most `most_rows` are kept, and all are
    counted.
    """
    for invariant in invariants:
        began = time.monotonic()
        with one_pass() as cursor:
            cursor.execute(bounded(invariant), {"now": now, "most": most_rows})
            names = [column.name for column in cursor.description[1:]]
            found = cursor.fetchall()
        rows = [dict(zip(names, row[1:], strict=True)) for row in found]
        yield Finding(invariant, rows, in_all=found[0][0] if found else 0, seconds=time.monotonic() - began)


@contextmanager
def one_pass() -> Iterator[Any]:
    """A cursor for one statement, in a transaction of its own, so that an old state of the tables is held no longer.

    The server joins by hash or in order, and reads a table at most as often as the statement names it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(NO_LOOKUPS)
        yield cursor
        # Nothing was written; this takes the setting back where the caller has begun a transaction.
        transaction.set_rollback(True)


def bounded(invariant: Invariant) -> str:
    """The invariant's statement with `%(most)s` rows at most, each after the number of all."""
    return BOUNDED.format(statement=invariant.sql)
