"""The jobs of spend in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

from django.core.management import call_command
from django.db import connection, transaction

from billing.signals import spend_recorded
from referral_site.bench import raw_sql
from referral_site.bench.job import Job
from referral_site.bench.seed import BASE
from referrals.operations import track
from referrals.receivers import hint_at_new_spend

# A line of a file: `n` is the number of the friend's event, `place` the friend's among those of the file.
_FILE = """
COPY (
    SELECT '{{name}}-' || friend || '-' || event AS event_id, 'bench-' || friend AS account_id, type,
           CASE type WHEN 'payment' THEN 'ecs' ELSE '' END AS product, 'USD' AS currency, amount, occurred_at,
           coalesce('{{name}}-' || friend || '-' || payment, '') AS payment_id
    FROM generate_series({{first}}::bigint, {{last}}, {{step}}) AS friend
    CROSS JOIN LATERAL (SELECT (friend - {{first}}) / {{step}} AS place) AS place
    CROSS JOIN LATERAL ({events}) AS line (n, event, type, amount, occurred_at, payment)
    ORDER BY hashint8(friend), n
) TO STDOUT WITH (FORMAT csv, HEADER)
"""

# $50.30 in two payments, the same line again for one friend in fifty.
_PAYMENTS = """
    SELECT 1, '1', 'payment', '15.00', '2025-11-06T09:00:00Z', NULL
    UNION ALL SELECT 1, '1', 'payment', '15.00', '2025-11-06T09:00:00Z', NULL WHERE place % 50 = 0
    UNION ALL SELECT 2, '2', 'payment', '35.30', '2025-12-03T10:30:00+01:00', NULL
"""

_REFUNDS = """
    UNION ALL SELECT 3, 'refund', 'refund', '5.00', '2025-12-09T08:00:00Z', '1' WHERE place % 20 = 5
    UNION ALL SELECT 3, 'refund', 'refund', '3.00', '2025-12-09T08:00:00Z', 'earlier' WHERE place % 20 = 15
"""

_EARLIER = "VALUES (0, 'earlier', 'payment', '9.00', '2025-11-05T12:00:00Z', NULL)"

_MANY = """
    SELECT n, n::text, 'payment', '7.50', to_char(timestamp '2025-11-06' + n * interval '1 day', 'YYYY-MM-DD') ||
           'T09:00:00Z', NULL
    FROM generate_series(1, 10) AS n
"""


class SpendImport(Job):
    """A file of payments, two a friend and one line in a hundred twice: imported, then tracked."""

    name = "import"
    needs = frozenset({"referrals", "spend"})
    cohorts = "imported"
    tables: ClassVar[Sequence[str]] = ("billing_spendevent", "referrals_referral")
    events: ClassVar[str] = _PAYMENTS
    payments: ClassVar[int] = 2
    proof = """
        SELECT count(*), sum(qualifying_spend), sum(window_spend), count(payout_due_at), sum(bonus_earned),
               (SELECT count(*) FROM billing_spendevent AS event JOIN friend ON friend.id = event.customer_id
                WHERE source = 'billing')
        FROM referrals_referral AS referral JOIN friend ON friend.id = referral.friend_id
    """

    @property
    def rows(self) -> int:
        return self.payments * self.scale.due

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.csv"

    def written(self, turn: int) -> tuple[Any, ...]:
        friends = "WITH friend AS MATERIALIZED (SELECT generate_series(%(first)s::bigint, %(last)s, %(step)s) AS id)"
        with connection.cursor() as cursor:
            cursor.execute(friends + self.proof, self.scale.friends_in_sql(self.cohort(turn)))
            return tuple(cursor.fetchone())

    def prepare(self, turn: int, *, raw: bool) -> None:
        self.write(turn, self.events)

    def write(self, turn: int, events: str) -> None:
        """Write the file of the turn, its lines in no order of the accounts."""
        friends = self.scale.friends_in_sql(self.cohort(turn))
        statement = _FILE.format(events=events).format(name=self.name, **friends)
        with connection.cursor() as cursor, self.path.open("w") as file:
            cursor.copy_expert(statement, file)

    def ours(self, turn: int) -> None:
        with no_hint():
            call_command("import_spend", str(self.path), stdout=StringIO())
        track(now=BASE)

    def raw(self, turn: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            self.stage(cursor)
            cursor.execute(raw_sql.RECORD_AND_AGGREGATE, {"now": BASE})

    def stage(self, cursor: Any) -> None:
        """Copy the file into a temporary table."""
        cursor.execute(raw_sql.STAGE)
        with self.path.open() as file:
            cursor.copy_expert(raw_sql.COPY, file)


class RefundImport(SpendImport):
    """The same with refunds: of a payment of the file for every 20th friend, and of an earlier file's for another."""

    name = "import-refunds"
    rounds = 2
    events = _PAYMENTS + _REFUNDS

    @property
    def rows(self) -> int:
        return super().rows + sum(len(range(place, self.scale.due, 20)) for place in (5, 15))

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Record the earlier file, by raw SQL for both sides."""
        self.write(turn, _EARLIER)
        self.raw(turn)
        super().prepare(turn, raw=raw)

    def raw(self, turn: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            self.stage(cursor)
            cursor.execute(raw_sql.RECORD_PAYMENTS, {"now": BASE})
            ((batch,),) = cursor.fetchall()
            cursor.execute(raw_sql.RECORD_REFUNDS, {"batch": batch})
            cursor.execute(raw_sql.AGGREGATE_NETS, {"batch": batch, "now": BASE})


class LargeImport(SpendImport):
    """A file of ten payments a friend, by half of all friends: 5 million rows where there are a million referrals."""

    name = "import-memory"
    rounds = 1
    share = 2
    by_default = False
    events = _MANY
    payments = 10


@contextmanager
def no_hint() -> Iterator[None]:
    """Leave the broker alone: it is not the database's time, and its queue is not ours."""
    spend_recorded.disconnect(hint_at_new_spend)
    try:
        yield
    finally:
        spend_recorded.connect(hint_at_new_spend)
