"""The referrals that the jobs find: made by SQL, tied together well enough for the engine and the audit.

Friends are the users 1 to N, the referrers follow them, ten friends each. The friends of one cohort registered in the
same ten minutes and stand alike; what is due for one of them is due for all, and a cohort is one turn of one side of a
job. A referrer has one friend at most in a cohort, so that a reward is a customer. Friends of no job's cohort are paid
in full.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from referral_site.bench import seed_sql as sql
from referral_site.bench.indexes import without_indexes

BASE = datetime(2025, 1, 1, tzinfo=UTC)
# After all that the sweeps find due.
LATE = datetime(2025, 11, 1, tzinfo=UTC)
FRIENDS_EACH = 10
# The friends of a cohort register in so many parts, a minute apart.
PARTS = 10
# Redemptions a turn at most: each has a customer of its own.
MOST_REDEMPTIONS = 200
MOST_TURNS = 6

PAYOUT_ONLY = Decimal("20.00")
# With a bonus of 10 % of $100.05.
WITH_BONUS = Decimal("120.05")
NOTHING = Decimal("0.00")


@dataclass(frozen=True)
class Cohort:
    """Friends who registered together, what they spent at once in US dollars, and whether their payouts are granted."""

    registered_at: datetime = BASE
    spend: Decimal = PAYOUT_ONLY
    is_paid: bool = True


@dataclass(frozen=True)
class Scale:
    """How many referrals there are, how many of them a turn, and whether those lie together or are spread evenly."""

    referrals: int
    due: int
    clustered: bool = False

    @property
    def referrers(self) -> int:
        return self.referrals // FRIENDS_EACH

    @property
    def cohorts(self) -> int:
        """How many cohorts there is room for."""
        return self.referrals // self.due

    @property
    def redemptions(self) -> int:
        """How many redemptions a turn has."""
        return min(MOST_REDEMPTIONS, self.referrers // 8)

    def friends(self, cohort: int) -> range:
        """The friends of a cohort."""
        if self.clustered:
            return range(cohort * self.due + 1, (cohort + 1) * self.due + 1)
        return range(cohort + 1, self.cohorts * self.due + 1, self.cohorts)

    def friends_in_sql(self, cohort: int) -> dict[str, int]:
        """The friends of a cohort as the parameters of generate_series: `first`, `last`, `step`."""
        friends = self.friends(cohort)
        return {"first": friends[0], "last": friends[-1], "step": friends.step}


def seed(scale: Scale, *, cohorts: Sequence[Cohort], needs: Collection[str]) -> None:
    """Fill the empty scratch database with what is needed, and leave it vacuumed and analysed.

    `cohorts` are the first ones, in order; the last of them is what everybody else is, too. `needs` names what there is
    to be besides customers: `referrals`, `spend`, `welcomes`, `trials`, `rewards`, `goodwill`.
    """
    parameters = _parameters(scale, cohorts)
    with transaction.atomic(), without_indexes(), connection.cursor() as cursor:
        for statement in _statements(needs):
            cursor.execute(statement, parameters)
    with connection.cursor() as cursor:
        # Else what was loaded is counted after the vacuum, and a second time.
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("VACUUM (ANALYZE)")


def _statements(needs: Collection[str]) -> list[str]:
    parts = {
        "referrals": [sql.REFERRALS],
        "spend": [sql.BATCH, sql.EVENTS],
        "welcomes": [sql.WELCOMES],
        "trials": [sql.TRIALS],
        "rewards": [sql.PAYOUTS, sql.REWARDS],
        "goodwill": [sql.GOODWILL],
    }
    chosen = [statement for name, statements in parts.items() if name in needs for statement in statements]
    return [sql.COHORTS, sql.USERS, sql.ACCOUNTS, *chosen, sql.ENTRIES, sql.SEQUENCES]


def _parameters(scale: Scale, cohorts: Sequence[Cohort]) -> dict[str, Any]:
    return {
        "base": BASE,
        "friends": scale.referrals,
        "referrers": scale.referrers,
        "redeemers": scale.redemptions * MOST_TURNS,
        "each": FRIENDS_EACH,
        "clustered": scale.clustered,
        "cohorts": scale.cohorts,
        "in_cohorts": scale.cohorts * scale.due,
        "due": scale.due,
        "parts": PARTS,
        "registered": [cohort.registered_at for cohort in cohorts],
        "spends": [cohort.spend for cohort in cohorts],
        "paid": [cohort.is_paid for cohort in cohorts],
    }


def registered_at(cohort: int) -> datetime:
    """When the cohort of this number begins to register, where the job does not say."""
    return BASE + timedelta(hours=cohort)


def due_at(days: int, cohort: int, *, minutes: int = 30) -> datetime:
    """Return an instant at which what comes `days` after its registration is due for a cohort, and for no later one.

    With fewer `minutes` than the cohort has parts, for so many of them.
    """
    return registered_at(cohort) + timedelta(days=days, minutes=minutes)
