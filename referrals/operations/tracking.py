"""Tracking: a referral's sums, dates and earnings, recomputed from all spend (DESIGN: Tracking recomputes)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from accounts.retries import retried

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
WHERE id = ANY(%(referrals)s) AND tracked_at IS NULL
ORDER BY id FOR NO KEY UPDATE
"""

RECOMPUTE = """
WITH tracked AS MATERIALIZED (
    SELECT referral.id, friend_id, registered_at, refused_at IS NOT NULL AS refused, terms.payout,
           terms.qualifying_threshold, terms.bonus_rate, terms.cap_per_friend,
           registered_at + terms.bonus_window_days * interval '24 hours' AS window_ends_at,
           terms.payout_delay_days * interval '24 hours' AS payout_delay
    FROM referrals_referral AS referral JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
    WHERE referral.id = ANY(%(referrals)s)
), net AS (
    SELECT tracked.id, payment.occurred_at, payment.event_id,
           round((payment.original_amount + coalesce(reversals.change, 0)) * payment.rate, 2) AS net
    FROM tracked
    JOIN billing_spendevent AS payment
        ON payment.customer_id = tracked.friend_id AND payment.type = 'payment' AND payment.qualifies
    LEFT JOIN LATERAL (
        SELECT sum(CASE type WHEN 'chargeback_reversal' THEN original_amount ELSE -original_amount END) AS change
        FROM billing_spendevent WHERE payment_id = payment.id
    ) AS reversals ON true
), running AS (
    SELECT *, sum(net) OVER (PARTITION BY id ORDER BY occurred_at, event_id) AS so_far FROM net
), spend AS (
    SELECT tracked.id, coalesce(sum(net), 0) AS qualifying,
           coalesce(sum(net) FILTER (WHERE occurred_at < window_ends_at), 0) AS in_window,
           min(occurred_at) FILTER (WHERE so_far >= qualifying_threshold) AS qualified_at
    FROM tracked LEFT JOIN running USING (id)
    GROUP BY tracked.id
), earned AS (
    SELECT id, qualifying, in_window, qualified_at, qualified_at + payout_delay AS payout_due_at,
           CASE WHEN refused OR qualified_at IS NULL THEN 0 ELSE payout END AS payout,
           CASE WHEN refused OR qualified_at IS NULL THEN 0 ELSE
               least(round(bonus_rate * greatest(0, in_window - qualifying_threshold), 2), cap_per_friend - payout)
           END AS bonus
    FROM tracked JOIN spend USING (id)
)
UPDATE referrals_referral AS referral
SET qualifying_spend = qualifying, window_spend = in_window, qualified_at = earned.qualified_at,
    payout_due_at = earned.payout_due_at, payout_earned = payout, bonus_earned = bonus, tracked_at = %(now)s
FROM earned
WHERE referral.id = earned.id AND (
    tracked_at IS NULL OR
    (qualifying_spend, window_spend, referral.qualified_at, referral.payout_due_at, payout_earned, bonus_earned)
    IS DISTINCT FROM (qualifying, in_window, earned.qualified_at, earned.payout_due_at, payout, bonus))
"""


def track(*, now: datetime, wait: bool = True) -> int:
    """Recompute the referrals of every friend with spend not yet applied, and those never tracked; return how many.

    Claims the batches committed so far, in chunks of one transaction each, and locks the Referrals by pk; the statement
    that recomputes comes after the one that locks, so that it sees all spend committed before the locks were had.
    With `wait`, batches that others have claimed are waited for; without, they are left to them.
    """
    batches = _ids(UNAPPLIED)
    tracked = 0
    for start in range(0, len(batches), BATCHES_AT_ONCE):
        tracked += _track_batches(batches[start : start + BATCHES_AT_ONCE], now=now, wait=wait)
    referrals = _ids(UNTRACKED)
    for start in range(0, len(referrals), REFERRALS_AT_ONCE):
        tracked += _track_referrals(referrals[start : start + REFERRALS_AT_ONCE], now=now, wait=wait)
    return tracked


def recompute(*, referral_ids: Sequence[int], now: datetime) -> None:
    """Recompute these referrals from all committed spend. The caller has locked them in an earlier statement."""
    with connection.cursor() as cursor:
        cursor.execute(RECOMPUTE, {"referrals": list(referral_ids), "now": now})


@retried
@transaction.atomic
def _track_batches(batch_ids: list[int], *, now: datetime, wait: bool) -> int:
    claimed = _ids(CLAIM if wait else f"{CLAIM} SKIP LOCKED", batches=batch_ids)
    if not claimed:
        return 0
    referrals = _ids(LOCK_OF_BATCHES, batches=claimed)
    recompute(referral_ids=referrals, now=now)
    with connection.cursor() as cursor:
        cursor.execute(MARK_APPLIED, {"batches": claimed, "now": now})
    return len(referrals)


@retried
@transaction.atomic
def _track_referrals(referral_ids: list[int], *, now: datetime, wait: bool) -> int:
    referrals = _ids(LOCK if wait else f"{LOCK} SKIP LOCKED", referrals=referral_ids)
    if referrals:
        recompute(referral_ids=referrals, now=now)
    return len(referrals)


def _ids(statement: str, **parameters: Any) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row[0] for row in cursor.fetchall()]
