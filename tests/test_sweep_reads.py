"""A sweep reads what is due, and not all that there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.arrays import bigints
from referrals.operations import settle, settlement_sql, track
from tests.facts import NOW, day, fact, record, register

pytestmark = pytest.mark.django_db

MANY = 1000

# For each referrer as many friends like bob, by one statement.
MULTIPLY = """
WITH friend AS (
    INSERT INTO accounts_user (account_id, email, password, account_type, country, time_zone, created_at, registered_at,
                               signup_attribution, is_staff, is_active, is_superuser)
    SELECT account_id || n, n || email, password, account_type, country, time_zone, created_at, registered_at,
           signup_attribution, is_staff, is_active, is_superuser
    FROM accounts_user, generate_series(1, %(many)s * %(referrers)s) AS n WHERE account_id = 'bob'
    RETURNING id, substr(account_id, 4)::int AS n
)
INSERT INTO referrals_referral (
    friend_id, referrer_id, terms_id, registered_at, created_at, tracked_at, qualifying_spend, window_spend,
    qualified_at, payout_due_at, bonus_due_at, payout_earned, bonus_earned, payout_granted, payout_let_go,
    bonus_granted, bonus_let_go, currency, held)
SELECT friend.id, (%(of)s::bigint[])[1 + n %% %(referrers)s], terms_id, registered_at, created_at, tracked_at,
       qualifying_spend, window_spend, qualified_at, payout_due_at, bonus_due_at, payout_earned, bonus_earned,
       payout_granted, payout_let_go, bonus_granted, bonus_let_go, currency, held
FROM friend, referrals_referral
"""


def rows_read(statement: str, **parameters: Any) -> int:
    """Run a statement; return how many rows it took from tables, used or not."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        (found,) = cursor.fetchone()
    plan = found if isinstance(found, list) else json.loads(found)
    return sum(
        int(node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes(plan[0]["Plan"])
        if "Relation Name" in node
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def execute(statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_the_lock_reads_what_is_due_of_a_customer_and_not_all_friends() -> None:
    alice, *others = (register(name) for name in ("alice", "dave", "erin", "fred", "gina"))
    bob = register("bob", referred_by=alice)
    record(fact(bob, "b", "25", day(1, 5)))
    settle(as_of=day(6, 1), now=NOW)
    referrers = [alice.pk, *(other.pk for other in others)]
    execute(MULTIPLY, many=MANY, of=referrers, referrers=len(referrers))
    carol = register("carol", referred_by=alice)
    record(fact(carol, "c", "25", day(1, 5)))
    track(now=NOW)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("ANALYZE referrals_referral")
    due: dict[str, Any] = {"customers": bigints([alice.pk]), "at": day(6, 1)}
    assert rows_read(settlement_sql.LOCK_DUE_REFERRALS, **due) < 10
    execute("DROP INDEX rewards_to_settle")  # the control
    assert rows_read(settlement_sql.LOCK_DUE_REFERRALS, **due) > MANY
