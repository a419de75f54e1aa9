"""The proof of the books: each invariant that spans rows, as one statement over all rows (DESIGN: `manage.py audit`).

What a single row must obey is held by the database's own constraints and triggers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from referral_site.audit import credit, programme, spend
from referral_site.audit.invariant import Invariant

__all__ = ["INVARIANTS", "Finding", "Invariant", "audit"]

INVARIANTS: tuple[Invariant, ...] = (*credit.INVARIANTS, *spend.INVARIANTS, *programme.INVARIANTS)


@dataclass(frozen=True)
class Finding:
    """An invariant, and the rows that break it, each as its columns by name."""

    invariant: Invariant
    rows: list[dict[str, object]]

    @property
    def lines(self) -> list[str]:
        """What there is to print: nothing where the invariant holds, else a line a row under its name and sentence."""
        if not self.rows:
            return []
        head = f"{self.invariant.name}: {self.invariant.sentence}"
        return [head, *("  " + " ".join(f"{name}={value}" for name, value in row.items()) for row in self.rows)]


def audit(*, now: datetime, invariants: Sequence[Invariant] = INVARIANTS) -> Iterator[Finding]:
    """Check the invariants one by one, each in one statement that sees one state of all tables.

    `now` tells what has waited too long.
    """
    for invariant in invariants:
        with connection.cursor() as cursor:
            cursor.execute(invariant.sql, {"now": now})
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        yield Finding(invariant, rows)
