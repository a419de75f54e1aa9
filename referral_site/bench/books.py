"""The job of the audit."""

from datetime import timedelta
from typing import Any

from django.db import connection

from referral_site.audit import audit
from referral_site.bench import raw_sql
from referral_site.bench.job import Job
from referral_site.bench.seed import BASE


class Audit(Job):
    """All invariants over all rows, which must find nothing; rows are coupon entries.

    Beside it stands one plain sequential aggregate over each table that it reads: what reading them once costs.
    """

    name = "audit"
    needs = frozenset({"referrals", "spend", "welcomes", "trials", "rewards", "goodwill"})
    rounds = 1
    now = BASE + timedelta(days=3650)
    entries = 0

    @property
    def rows(self) -> int:
        return self.entries

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Count the entries."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM credits_couponentry")
            (self.entries,) = cursor.fetchone()
        self.found: list[str] = []

    def ours(self, turn: int) -> None:
        self.found = [line for finding in audit(now=self.now) for line in finding.lines[:3]]

    def raw(self, turn: int) -> None:
        with connection.cursor() as cursor:
            for statement in raw_sql.READ_ONCE:
                cursor.execute(statement)

    def written(self, turn: int) -> tuple[Any, ...]:
        """Say what is wrong, and that is nothing."""
        return tuple(self.found)
