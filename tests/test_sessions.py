"""A pooler in transaction mode may stand before the database: nothing the product does outlives its transaction on a
connection (docs/scaling.md)."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from accounts.models import ImportRun
from accounts.run_queries import refusals_of

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNTS = """account_id,email,account_type,country,registered_at,referred_by
alice,alice@example.com,individual,US,2026-01-01T00:00:00Z,
bob,bob@example.com,individual,US,2026-01-01T00:00:00Z,alice
carol,nowhere,individual,US,2026-01-01T00:00:00Z,alice
"""
SPEND = """event_id,account_id,type,product,currency,amount,occurred_at,payment_id
p1,bob,payment,ecs,USD,30,2026-01-05T00:00:00Z,
r1,bob,refund,,USD,40,2026-01-06T00:00:00Z,p1
p2,nobody,payment,ecs,USD,30,2026-01-05T00:00:00Z,
"""
REDEMPTIONS = """redemption_id,account_id,amount,occurred_at
o1,bob,2,2026-01-07T00:00:00Z
o2,bob,2000,2026-01-07T00:00:00Z
"""

LEFT_ON_THE_CONNECTION = """
SELECT 'setting', name FROM pg_settings WHERE source = 'session'
UNION ALL SELECT 'cursor', name FROM pg_cursors WHERE is_holdable
UNION ALL SELECT 'statement', name FROM pg_prepared_statements
UNION ALL SELECT 'channel', pg_listening_channels()
UNION ALL SELECT 'lock', objid::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'table', relname FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()
"""


def left() -> set[str]:
    """Return the kinds of what the next client of this connection would find."""
    with connection.cursor() as cursor:
        cursor.execute(LEFT_ON_THE_CONNECTION)
        return {kind for kind, _ in cursor.fetchall()}


def imported(folder: Path, kind: str, facts: str) -> None:
    file = folder / f"{kind}.csv"
    file.write_text(facts)
    call_command(f"import_{kind}", file, rejects=folder / "rejects.csv", stdout=StringIO())
    assert (folder / "rejects.csv").read_text().count("\n") > 1


def test_imports_settlement_exports_and_audit_leave_nothing_on_the_connection(tmp_path: Path) -> None:
    for kind, facts in (("accounts", ACCOUNTS), ("spend", SPEND), ("redemptions", REDEMPTIONS)):
        imported(tmp_path, kind, facts)
        assert left() == set(), kind
    call_command("settle", as_of="2026-06-01T00:00:00Z", stdout=StringIO())
    for name in ("coupons", "entries", "referrals"):
        call_command(f"export_{name}", to=tmp_path / f"{name}.csv", stdout=StringIO())
    call_command("audit", stdout=StringIO())
    assert left() == set()


def test_refusals_are_read_within_one_transaction(tmp_path: Path) -> None:
    imported(tmp_path, "spend", SPEND.replace("bob", "nobody"))
    refusals = refusals_of(ImportRun.objects.get())
    assert next(refusals).code == "account"
    assert connection.in_atomic_block
    assert left() == set()
    assert len(list(refusals)) == 2
    assert not connection.in_atomic_block


def test_a_cursor_of_djangos_own_would_outlive_its_transaction(tmp_path: Path) -> None:
    imported(tmp_path, "spend", SPEND.replace("bob", "nobody"))
    refused = ImportRun.objects.get().refusals.iterator()
    next(refused)
    assert left() == {"cursor"}
    assert len(list(refused)) == 2


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SET statement_timeout = '1h'", "setting"),
        ("PREPARE forgotten AS SELECT 1", "statement"),
        ("LISTEN forgotten", "channel"),
        ("SELECT pg_advisory_lock(1)", "lock"),
        ("CREATE TEMPORARY TABLE forgotten ()", "table"),
    ],
)
def test_what_is_left_is_found(statement: str, kind: str) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
        assert left() == {kind}
    finally:
        connection.close()
