"""How tables are stored and vacuumed, and that tracking leaves the indexes alone (docs/scaling.md)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from accounts.models import User
from referrals.models import Referral
from referrals.operations import track
from tests.facts import JANUARY, fact, record, register

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = {
    "referrals_referral": {"fillfactor=90", "autovacuum_vacuum_scale_factor=0.05"},
    "credits_coupon": {"autovacuum_vacuum_scale_factor=0.02"},
}
# What a grant writes to.
GRANTED = ["credits_coupon", "credits_couponentry", "referrals_referral", "referrals_reward"]
# An index on all rows whose columns another one on all rows begins with.
IN_ANOTHER = """
SELECT one.indexrelid::regclass::text AS index, other.indexrelid::regclass::text AS other
FROM pg_index AS one JOIN pg_index AS other USING (indrelid)
WHERE indrelid = ANY(%(tables)s::regclass[]) AND one.indexrelid <> other.indexrelid AND NOT one.indisunique
  AND other.indkey::int2[] @> one.indkey::int2[] AND other.indkey[0:one.indnkeyatts - 1] = one.indkey[0:]
  AND one.indpred IS NULL AND other.indpred IS NULL AND one.indexprs IS NULL
"""
AFTER_THE_WINDOW = JANUARY + timedelta(days=100)


@pytest.fixture
def bob() -> User:
    """Bob, referred by Alice, qualified and tracked."""
    bob = register("bob", referred_by=register("alice"))
    record(fact(bob, "first", "30"))
    track(now=JANUARY)
    return bob


def test_tables_have_the_settings_that_the_growth_asks_for() -> None:
    assert settings() == SETTINGS


def test_no_index_that_a_grant_writes_is_the_beginning_of_another() -> None:
    assert indexes_in_another() == []


def test_such_an_index_would_be_found() -> None:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("CREATE INDEX rewards_of_a_referral ON referrals_reward (referral_id)")
        assert indexes_in_another() == [("rewards_of_a_referral", "a_reward_is_granted_once")]
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    "migration", [("referrals", "0008_room_for_updates"), ("credits", "0003_spent_coupons_cleared")]
)
def test_settings_can_be_taken_back(migration: tuple[str, str]) -> None:
    loader = MigrationLoader(connection)
    state = loader.project_state(loader.graph.node_map[migration].key)
    with connection.schema_editor() as editor:
        loader.get_migration(*migration).unapply(state, editor)
    left = settings()
    with connection.schema_editor() as editor:
        loader.get_migration(*migration).apply(state, editor)
    assert len(left) == len(SETTINGS) - 1
    assert settings() == SETTINGS


def test_spend_after_the_window_is_tracked_without_touching_an_index(bob: User) -> None:
    before = updates()
    record(fact(bob, "late", "5", AFTER_THE_WINDOW))
    track(now=AFTER_THE_WINDOW)
    assert Referral.objects.get().qualifying_spend.amount == 35
    assert since(before) == (1, 1)


def test_spend_that_moves_the_bonus_is_written_to_the_indexes(bob: User) -> None:
    before = updates()
    record(fact(bob, "more", "5"))
    track(now=JANUARY)
    assert since(before) == (1, 0)


def test_an_instant_of_tracking_that_moved_would_be_written_to_the_indexes(bob: User) -> None:
    before = updates()
    assert Referral.objects.update(tracked_at=AFTER_THE_WINDOW) == 1
    assert since(before) == (1, 0)


def indexes_in_another() -> list[tuple[str, str]]:
    """Return the indexes of what a grant writes that another makes idle, and that other one."""
    with connection.cursor() as cursor:
        cursor.execute(IN_ANOTHER, {"tables": GRANTED})
        return [(one, other) for one, other in cursor.fetchall()]


def settings() -> dict[str, set[str]]:
    """Return the settings that tables have of their own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' AND reloptions IS NOT NULL")
        return {table: set(options) for table, options in cursor.fetchall()}


def updates() -> tuple[int, int]:
    """Return how many updates of referrals there were, and how many of them no index was written for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'referrals_referral'")
        all_of_them, beside = cursor.fetchone()
        return all_of_them, beside


def since(before: tuple[int, int]) -> tuple[int, int]:
    """Return how many there were since."""
    now = updates()
    return now[0] - before[0], now[1] - before[1]
