"""Tracking: a referral's sums, dates and earnings, recomputed from all spend (DESIGN: Tracking recomputes)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from accounts.arrays import bigints
from accounts.models import ParkedRow
from accounts.operations import (
    MOST_AT_ONCE,
    Parked,
    analyse_grown_tables,
    clear_parked,
    do_all_but_poison,
    park,
    parked_keys,
)
from accounts.operations.outbox import NEWS
from accounts.retries import retried
from referrals.operations.hooks import announce_qualified
from referrals.operations.mails import tell_of_qualified

BATCHES_AT_ONCE = 20
REFERRALS_AT_ONCE = 10_000

UNAPPLIED = "SELECT id FROM billing_spendbatch WHERE applied_at IS NULL ORDER BY id"

UNTRACKED = "SELECT id FROM referrals_referral WHERE tracked_at IS NULL ORDER BY id"

CLAIM = (
    "SELECT id FROM billing_spendbatch WHERE id = ANY(%(batches)s) AND applied_at IS NULL ORDER BY id FOR NO KEY UPDATE"
)

MARK_APPLIED = "UPDATE billing_spendbatch SET applied_at = %(now)s WHERE id = ANY(%(batches)s)"

LOCK_OF_BATCHES = """
SELECT id FROM referrals_referral
WHERE friend_id IN (SELECT customer_id FROM billing_spendevent WHERE batch_id = ANY(%(batches)s))
ORDER BY id FOR NO KEY UPDATE
"""

LOCK = """
SELECT id FROM referrals_referral
WHERE id = ANY(%(referrals)s::bigint[]) AND tracked_at IS NULL
ORDER BY id FOR NO KEY UPDATE
"""

LOCK_PARKED = "SELECT id FROM referrals_referral WHERE id = ANY(%(referrals)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"

FRIENDS = "SELECT id, friend_id FROM referrals_referral WHERE id = ANY(%(referrals)s::bigint[])"

# `tracked_at` stays: an update that leaves alone what the indexes look at is written to none of them.
RECOMPUTE = """
WITH tracked AS MATERIALIZED (
    SELECT referral.id, friend_id, registered_at, refused_at IS NOT NULL AS refused,
           referral.qualified_at AS was_qualified_at, terms.payout, terms.qualifying_threshold, terms.bonus_rate,
           terms.cap_per_friend,
           registered_at + terms.bonus_window_days * interval '24 hours' AS window_ends_at,
           terms.payout_delay_days * interval '24 hours' AS payout_delay
    FROM referrals_referral AS referral JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
    WHERE referral.id = ANY(%(referrals)s::bigint[])
), spend AS (
    SELECT tracked.*, qualifying, in_window, qualified_at
    FROM tracked CROSS JOIN LATERAL (
        SELECT coalesce(sum(net), 0) AS qualifying,
               coalesce(sum(net) FILTER (WHERE occurred_at < window_ends_at), 0) AS in_window,
               min(occurred_at) FILTER (WHERE so_far >= qualifying_threshold) AS qualified_at
        FROM (
            SELECT occurred_at, net, sum(net) OVER (ORDER BY occurred_at, event_id) AS so_far
            FROM (
                SELECT occurred_at, event_id, round((original_amount + coalesce(change, 0)) * rate, 2) AS net
                FROM billing_spendevent AS payment CROSS JOIN LATERAL (
                    SELECT sum(CASE type WHEN 'chargeback_reversal' THEN original_amount ELSE -original_amount END)
                    FROM billing_spendevent WHERE payment_id = payment.id
                ) AS reversals (change)
                WHERE customer_id = tracked.friend_id AND type = 'payment' AND qualifies
            ) AS net
        ) AS running
    ) AS sums
), earned AS (
    SELECT id, qualifying, in_window, was_qualified_at, qualified_at, qualified_at + payout_delay AS payout_due_at,
           CASE WHEN refused OR qualified_at IS NULL THEN 0 ELSE payout END AS payout,
           CASE WHEN refused OR qualified_at IS NULL THEN 0 ELSE
               least(round(bonus_rate * greatest(0, in_window - qualifying_threshold), 2), cap_per_friend - payout)
           END AS bonus
    FROM spend
), moved AS (
    UPDATE referrals_referral AS referral
    SET qualifying_spend = qualifying, window_spend = in_window, qualified_at = earned.qualified_at,
        payout_due_at = earned.payout_due_at, payout_earned = payout, bonus_earned = bonus,
        tracked_at = coalesce(tracked_at, %(now)s)
    FROM earned
    WHERE referral.id = earned.id AND (
        tracked_at IS NULL OR
        (qualifying_spend, window_spend, referral.qualified_at, referral.payout_due_at, payout_earned, bonus_earned)
        IS DISTINCT FROM (qualifying, in_window, earned.qualified_at, earned.payout_due_at, payout, bonus))
    RETURNING referral.id, referral.qualified_at, was_qualified_at
)
SELECT id, qualified_at >= %(news)s, was_qualified_at IS NULL
FROM moved WHERE qualified_at >= %(news)s OR (qualified_at IS NOT NULL AND was_qualified_at IS NULL)
"""


def track(*, now: datetime, wait: bool = True) -> int:
    """Recompute the referrals of every friend with spend not yet applied, and those never tracked; return how many.

    Claims the batches committed so far, in chunks of one transaction each, and locks the Referrals by pk; the statement
    that recomputes comes after the one that locks, so that it sees all spend committed before the locks were had.
    With `wait`, batches that others have claimed are waited for; without, they are left to them. A referral that fails
    by itself is parked, and tried again by the next call.
    """
    analyse_grown_tables()
    tracked = 0
    parked = _parked()
    for start in range(0, len(parked), MOST_AT_ONCE):
        tracked += _track_parked(parked[start : start + MOST_AT_ONCE], now=now)
    batches = _ids(UNAPPLIED)
    for start in range(0, len(batches), BATCHES_AT_ONCE):
        tracked += _track_batches(batches[start : start + BATCHES_AT_ONCE], now=now, wait=wait)
    referrals = _ids(UNTRACKED)
    for start in range(0, len(referrals), REFERRALS_AT_ONCE):
        tracked += _track_referrals(referrals[start : start + REFERRALS_AT_ONCE], now=now, wait=wait)
    return tracked


def recompute(*, referral_ids: Sequence[int], now: datetime) -> None:
    """Recompute these referrals from all committed spend, and tell the referrers of friends who have qualified.

    The caller has locked them in an earlier statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(RECOMPUTE, {"referrals": bigints(referral_ids), "now": now, "news": now - NEWS})
        qualified = cursor.fetchall()
    if news := [pk for pk, is_news, _ in qualified if is_news]:
        tell_of_qualified(referral_ids=news, now=now)
    announce_qualified(referral_ids=[pk for pk, _, is_new in qualified if is_new], now=now)


@retried
@transaction.atomic
def _track_batches(batch_ids: list[int], *, now: datetime, wait: bool) -> int:
    claimed = _ids(CLAIM if wait else f"{CLAIM} SKIP LOCKED", batches=batch_ids)
    if not claimed:
        return 0
    referrals = _not_parked(_ids(LOCK_OF_BATCHES, batches=claimed))
    _recompute_all_but_poison(referrals, now=now)
    with connection.cursor() as cursor:
        cursor.execute(MARK_APPLIED, {"batches": claimed, "now": now})
    return len(referrals)


@retried
@transaction.atomic
def _track_referrals(referral_ids: list[int], *, now: datetime, wait: bool) -> int:
    referrals = _not_parked(_ids(LOCK if wait else f"{LOCK} SKIP LOCKED", referrals=bigints(referral_ids)))
    _recompute_all_but_poison(referrals, now=now)
    return len(referrals)


@retried
@transaction.atomic
def _track_parked(parked: list[int], *, now: datetime) -> int:
    """Try those again that failed before; their batches count as applied."""
    referrals = _ids(f"{LOCK_PARKED} SKIP LOCKED", referrals=bigints(parked))
    _recompute_all_but_poison(referrals, now=now)
    return len(referrals)


def _recompute_all_but_poison(referral_ids: Sequence[int], *, now: datetime) -> None:
    """Recompute the locked referrals; park those that fail by themselves, clear those that no longer do."""

    @transaction.atomic
    def recompute_some(some: Sequence[int]) -> None:
        recompute(referral_ids=some, now=now)

    if not referral_ids:
        return
    _, failed = do_all_but_poison(rows=referral_ids, work=recompute_some)
    errors = dict(failed)
    sound = [str(referral_id) for referral_id in referral_ids if referral_id not in errors]
    clear_parked(kind=ParkedRow.Kind.TRACKING, keys=sound, now=now)
    if errors:
        with connection.cursor() as cursor:
            cursor.execute(FRIENDS, {"referrals": bigints(errors)})
            rows = [Parked(str(pk), errors[pk], customer_id=friend_id) for pk, friend_id in cursor.fetchall()]
        park(kind=ParkedRow.Kind.TRACKING, rows=rows, now=now)


def _parked() -> list[int]:
    return [int(key) for key in parked_keys(kind=ParkedRow.Kind.TRACKING)]


def _not_parked(locked: list[int]) -> list[int]:
    """Leave out those who are parked: every run tries them by themselves.

    Asked under their locks: another try that has read before this batch was there cannot clear one meanwhile.
    """
    parked = set(_parked())
    return [referral for referral in locked if referral not in parked]


def _ids(statement: str, **parameters: Any) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row[0] for row in cursor.fetchall()]
