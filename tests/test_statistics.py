"""Statistics that know nothing of what a table holds: whoever has much to do has them renewed first."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from accounts.operations import analyse_grown_tables
from referrals.operations import settle, track
from tests.facts import NOW

pytestmark = pytest.mark.django_db(transaction=True)

FILL = "INSERT INTO filled SELECT generate_series(1, %s), repeat('x', 400)"
SPEND = "event_id,account_id,type,product,currency,amount,occurred_at,payment_id\n"


def run(statement: str, *parameters: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def known_rows() -> int:
    """Return how many rows the planner takes the table to have."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'filled'")
        return int(cursor.fetchone()[0])


def fill(rows: int) -> None:
    """Insert rows, and let Postgres count them now: it does so once a second."""
    run(FILL, rows)
    run("SELECT pg_stat_force_next_flush()")


@pytest.fixture
def filled() -> Iterator[None]:
    """A table that looks empty: its import was undone and left its pages, and an ANALYZE found no row on them."""
    run("CREATE TABLE filled (number integer PRIMARY KEY, text text) WITH (autovacuum_enabled = false)")
    with transaction.atomic():
        run(FILL, 3000)
        transaction.set_rollback(True)
    run("ANALYZE filled")
    assert known_rows() == 0
    yield
    run("DROP TABLE filled")


def test_a_table_that_was_filled_since_is_looked_at_once(filled: None) -> None:
    fill(3000)
    assert "filled" in analyse_grown_tables()
    assert known_rows() == 3000
    assert "filled" not in analyse_grown_tables()


@pytest.mark.parametrize(("more", "looked_at"), [(20_000, False), (40_000, True)])
def test_a_table_is_looked_at_again_when_it_has_grown_tenfold(filled: None, more: int, looked_at: bool) -> None:
    fill(3000)
    analyse_grown_tables()
    run("INSERT INTO filled SELECT generate_series(3001, 3000 + %s), ''", more)
    run("SELECT pg_stat_force_next_flush()")
    assert ("filled" in analyse_grown_tables()) is looked_at


def test_a_table_that_looked_empty_before_a_crash_is_looked_at_once(filled: None) -> None:
    """A crash leaves what the planner knows, and forgets what was counted since."""
    fill(3000)
    run("SELECT pg_stat_reset_single_table_counters('filled'::regclass)")
    assert "filled" in analyse_grown_tables()
    assert "filled" not in analyse_grown_tables()


def import_spend(folder: Path) -> None:
    path = folder / "spend.csv"
    path.write_text(SPEND)
    call_command("import_spend", str(path), stdout=io.StringIO())


@pytest.mark.parametrize(
    "job",
    [
        lambda folder: track(now=NOW),
        lambda folder: settle(as_of=NOW, now=NOW),
        import_spend,
    ],
    ids=["track", "settle", "import"],
)
def test_work_over_many_rows_begins_by_looking(filled: None, tmp_path: Path, job: Callable[[Path], object]) -> None:
    fill(3000)
    job(tmp_path)
    assert known_rows() == 3000
