"""Grants of plain customers, who have nothing to claw back and no open debt: one statement a chunk.

It comes to what `referrals.reckoning` comes to for them (TERMS: Settlement, 3); tests/test_plain_grants.py holds the
two together.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from accounts.arrays import bigints

# What is due is in order before the coupons draw their keys, so that keys and entries follow the order of granting.
# The keys are drawn beforehand because a join with what an INSERT returns, of whose size the planner knows nothing,
# compares every row with every other.
GRANT_PLAIN = """
WITH apart AS (
    SELECT referrer_id AS customer_id FROM referrals_referral
    WHERE referrer_id = ANY(%(customers)s::bigint[]) AND id = ANY(%(referrals)s::bigint[]) AND (
        payout_granted > payout_earned + payout_let_go OR bonus_granted > bonus_earned + bonus_let_go)
    UNION ALL
    SELECT customer_id FROM credits_debt WHERE customer_id = ANY(%(customers)s::bigint[]) AND outstanding > 0
), due AS (
    SELECT referral.id AS referral_id, referrer_id, friend_id, kind, earned, earned - granted AS amount,
           qualifying_spend, window_spend, credit_valid_days, 1 + (
               SELECT count(*) FROM referrals_reward WHERE referral_id = referral.id AND kind = reward.kind) AS n
    FROM referrals_referral AS referral
    JOIN accounts_user AS friend ON friend.id = referral.friend_id
    JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
    CROSS JOIN LATERAL (VALUES
        (1, 'payout', payout_due_at, payout_earned, payout_granted),
        (2, 'bonus', bonus_due_at, bonus_earned, bonus_granted)) AS reward (place, kind, due_at, earned, granted)
    WHERE referral.id = ANY(%(referrals)s::bigint[]) AND NOT referral.held AND granted < earned
        AND due_at <= %(at)s AND referrer_id NOT IN (SELECT customer_id FROM apart)
        AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND disqualified_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND closed_at IS NOT NULL)
    ORDER BY referrer_id, place, due_at, referral.registered_at, friend.account_id
), wanted AS MATERIALIZED (
    SELECT *, nextval('credits_coupon_id_seq') AS coupon_id, kind || ':' || referral_id || ':' || n AS source FROM due
), coupon AS (
    INSERT INTO credits_coupon (id, customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked,
                                currency, issued_at, expires_at)
    SELECT coupon_id, referrer_id, kind, friend_id, source, amount, amount, 0, 0, 0, 'USD', %(at)s,
           %(at)s + credit_valid_days * interval '24 hours'
    FROM wanted
), entry AS (
    INSERT INTO credits_couponentry
        (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
    SELECT coupon_id, 'ISSUE', amount, amount, 'USD', source, %(at)s, %(now)s FROM wanted ORDER BY coupon_id
), reward AS (
    INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, coupon_id, earned, qualifying_spend,
                                  window_spend, currency, granted_at, recorded_at)
    SELECT referral_id, kind, n, amount, 0, coupon_id, earned, qualifying_spend, window_spend, 'USD', %(at)s, %(now)s
    FROM wanted ORDER BY coupon_id
), position AS (
    UPDATE referrals_referral AS referral
    SET payout_granted = payout_granted + payout, bonus_granted = bonus_granted + bonus
    FROM (
        SELECT referral_id, coalesce(sum(amount) FILTER (WHERE kind = 'payout'), 0) AS payout,
               coalesce(sum(amount) FILTER (WHERE kind = 'bonus'), 0) AS bonus
        FROM wanted GROUP BY referral_id
    ) AS granted
    WHERE referral.id = granted.referral_id
)
SELECT coalesce(array_agg(DISTINCT referral_id), '{}'), count(*), coalesce(sum(amount), 0.00) FROM wanted
"""


class PlainGrants(NamedTuple):
    """What was granted to plain customers: by which referrals, how many rewards, and how many US dollars."""

    referrals: list[int]
    rewards: int
    amount: Decimal


def grant_plain(
    *, customer_ids: Sequence[int], referral_ids: Sequence[int], as_of: datetime, now: datetime
) -> PlainGrants:
    """Grant what is due at `as_of` of these referrals, but for customers who have a clawback or an open debt.

    The caller holds the customers' CreditAccounts and the Referrals, and has expired the customers' coupons.
    """
    of = {"customers": bigints(customer_ids), "referrals": bigints(referral_ids)}
    with connection.cursor() as cursor:
        cursor.execute(GRANT_PLAIN, {**of, "at": as_of, "now": now})
        return PlainGrants(*cursor.fetchone())
