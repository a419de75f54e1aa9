"""The audit of books that have grown: a pass a statement, and no more memory than a list of some rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

import referral_site.audit
from referral_site.audit import INVARIANTS, Invariant, audit, bounded, one_pass
from referral_site.bench.scratch import migrate, scratch_database
from referrals.models import Referral
from tests.facts import NOW
from tests.multitude import SMALL, tell_again
from tests.plans import Plan
from tests.story import cause_everything

# Of the story: 10,000 referrals and 70,000 entries.
TIMES = 2000

LOOKUPS = {
    "correlated": """
        SELECT id FROM credits_coupon AS coupon
        WHERE amount <> (SELECT sum(amount) FROM credits_couponentry WHERE coupon_id = coupon.id AND type = 'ISSUE')
    """,
    "in memory": """
        SELECT id FROM referrals_referral
        WHERE friend_id NOT IN (SELECT customer_id FROM billing_spendevent) AND tracked_at IS NULL
    """,
    "lateral": """
        SELECT coupon.id FROM credits_coupon AS coupon CROSS JOIN LATERAL (
            SELECT type FROM credits_couponentry WHERE coupon_id = coupon.id ORDER BY id LIMIT 1
        ) AS first WHERE first.type <> 'ISSUE'
    """,
    "no key": """
        SELECT event.id FROM billing_spendevent AS event JOIN referrals_referral AS referral
        ON event.occurred_at < referral.registered_at
    """,
}


@pytest.fixture(scope="module", autouse=True)
def _grown_books(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database of their own, whose statistics are of the day before it grew."""
    with django_db_blocker.unblock(), scratch_database():
        migrate()
        cause_everything()
        run("ANALYZE")
        tell_again(times=TIMES)
        yield


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def lookups(invariant: Invariant, *, how: str = "ANALYZE, TIMING OFF, ") -> list[str]:
    """Run an invariant as the audit does, and name what its plan looks up row by row."""
    with one_pass() as cursor:
        cursor.execute(f"EXPLAIN ({how}FORMAT JSON) {bounded(invariant)}", {"now": NOW, "most": 1000})
        (found,) = cursor.fetchone()
    ((plan,),) = [json.loads(found) if isinstance(found, str) else found]
    return Plan(plan["Plan"], SMALL).lookups()


def all_lookups() -> dict[str, list[str]]:
    return {invariant.name: found for invariant in INVARIANTS if (found := lookups(invariant))}


def test_every_invariant_takes_one_pass_whatever_the_statistics() -> None:
    assert all_lookups() == {}, "with the statistics of a few rows"
    run("ANALYZE")
    assert all_lookups() == {}, "with those of all rows"


def test_rows_would_be_looked_up_were_it_not_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referral_site.audit, "NO_LOOKUPS", "SELECT")
    assert len(all_lookups()) > 3


@pytest.mark.parametrize("kind", LOOKUPS)
def test_a_statement_that_looks_rows_up_is_noticed(kind: str) -> None:
    assert lookups(Invariant(kind, "", LOOKUPS[kind]), how="")


def test_books_of_many_customers_are_clean() -> None:
    assert Referral.objects.count() == 6 * (TIMES + 1)
    assert [line for finding in audit(now=NOW) for line in finding.lines] == []


def test_of_many_broken_rows_some_are_told_and_all_are_counted() -> None:
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica; UPDATE referrals_referral SET held = NOT held")
        found = {finding.invariant.name: finding for finding in audit(now=NOW, most_rows=10)}
        transaction.set_rollback(True)
    held = found["referral_is_held_while_a_hold_is_open"]
    assert (len(held.rows), held.in_all) == (10, 6 * (TIMES + 1))
    assert len(held.lines) == 12
    assert held.lines[-1] == f"  and {6 * (TIMES + 1) - 10} more"


def test_between_two_invariants_no_old_state_is_held() -> None:
    for _ in audit(now=NOW, invariants=INVARIANTS[:3]):
        assert connection.connection.info.transaction_status == TRANSACTION_STATUS_IDLE


def test_what_the_audit_sets_is_gone_with_it() -> None:
    with transaction.atomic():
        list(audit(now=NOW, invariants=INVARIANTS[:1]))
        with connection.cursor() as cursor:
            cursor.execute("SHOW enable_nestloop")
            assert cursor.fetchone() == ("on",)
