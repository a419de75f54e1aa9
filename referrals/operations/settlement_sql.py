"""The statements of settlement, each over a chunk of customers (TERMS: Settlement of a customer)."""

DUE_EXPIRY = "SELECT customer_id FROM credits_coupon WHERE remaining > 0 AND expires_at <= %(at)s"

DUE_CLAWBACK = """
SELECT referrer_id FROM referrals_referral
WHERE (payout_granted > payout_earned + payout_let_go OR bonus_granted > bonus_earned + bonus_let_go)
    AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND closed_at IS NOT NULL)
"""

DUE_PAYOUT = """
SELECT referrer_id FROM referrals_referral
WHERE payout_granted < payout_earned AND NOT held AND payout_due_at <= %(at)s
    AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND disqualified_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND closed_at IS NOT NULL)
"""

DUE_BONUS = """
SELECT referrer_id FROM referrals_referral
WHERE bonus_granted < bonus_earned AND NOT held AND bonus_due_at <= %(at)s
    AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND disqualified_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND closed_at IS NOT NULL)
"""

PARKED = "SELECT customer_id FROM accounts_parkedrow WHERE kind = 'settlement' AND cleared_at IS NULL"

# Where a friend's tracking has failed, the figures are old: a refund may stand behind them.
OF_UNTRACKED = """
SELECT referrer_id FROM referrals_referral JOIN accounts_parkedrow AS parked ON parked.customer_id = friend_id
WHERE parked.kind = 'tracking' AND parked.cleared_at IS NULL
"""

LOCK_DUE_REFERRALS = """
SELECT id FROM referrals_referral
WHERE referrer_id = ANY(%(customers)s::bigint[]) AND (
    payout_granted > payout_earned + payout_let_go OR bonus_granted > bonus_earned + bonus_let_go
    OR (payout_granted < payout_earned AND NOT held AND payout_due_at <= %(at)s)
    OR (bonus_granted < bonus_earned AND NOT held AND bonus_due_at <= %(at)s))
ORDER BY id
FOR NO KEY UPDATE
"""

# Read again, in a new statement, once the locks are had: a hold or a closing that committed first is seen. Only what is
# locked is read: a referral that has become due since is not, and a hold on it would not wait for this transaction.
# Whoever has closed their account is granted nothing and owes nothing any more (TERMS: When things change).
DUE_REFERRALS = """
SELECT referral.id, referral.referrer_id, referral.friend_id, friend.account_id, referral.registered_at,
       referral.payout_due_at, referral.bonus_due_at,
       payout_earned, payout_granted, payout_let_go, bonus_earned, bonus_granted, bonus_let_go,
       referral.held OR referrer.disqualified_at IS NOT NULL, referral.refused_at IS NOT NULL,
       qualifying_spend, window_spend, terms.credit_valid_days,
       (SELECT count(*) FROM referrals_reward WHERE referral_id = referral.id AND kind = 'payout'),
       (SELECT count(*) FROM referrals_reward WHERE referral_id = referral.id AND kind = 'bonus'),
       (SELECT count(*) FROM referrals_clawback WHERE referral_id = referral.id AND kind = 'payout'),
       (SELECT count(*) FROM referrals_clawback WHERE referral_id = referral.id AND kind = 'bonus')
FROM referrals_referral AS referral
JOIN accounts_user AS friend ON friend.id = referral.friend_id
JOIN accounts_user AS referrer ON referrer.id = referral.referrer_id
JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
WHERE referral.id = ANY(%(referrals)s::bigint[]) AND referrer.closed_at IS NULL AND (
    payout_granted > payout_earned + payout_let_go OR bonus_granted > bonus_earned + bonus_let_go
    OR (payout_granted < payout_earned AND NOT held AND payout_due_at <= %(at)s)
    OR (bonus_granted < bonus_earned AND NOT held AND bonus_due_at <= %(at)s))
ORDER BY referral.registered_at, friend.account_id
"""

COUPONS_OF_REWARDS = """
SELECT friend_id, kind, id, remaining, expired
FROM credits_coupon WHERE friend_id = ANY(%(friends)s::bigint[])
ORDER BY issued_at DESC, id DESC
"""

OPEN_DEBTS = """
SELECT customer_id, source, outstanding, opened_at
FROM credits_debt WHERE customer_id = ANY(%(customers)s::bigint[]) AND outstanding > 0
ORDER BY opened_at, id
"""

RECORD_CLAWBACKS = """
INSERT INTO referrals_clawback (referral_id, kind, n, revoked, let_go, debt, earned, qualifying_spend, window_spend,
                                refused, currency, clawed_back_at, recorded_at)
SELECT *, 'USD', %(at)s, %(now)s FROM unnest(
    %(referrals)s::bigint[], %(kinds)s::text[], %(ns)s::smallint[], %(revoked)s::numeric[], %(let_go)s::numeric[],
    %(debts)s::numeric[], %(earned)s::numeric[], %(qualifying)s::numeric[], %(in_window)s::numeric[],
    %(refused)s::boolean[])
"""

RECORD_REWARDS = """
INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, coupon_id, earned, qualifying_spend,
                              window_spend, currency, granted_at, recorded_at)
SELECT wanted.referral_id, wanted.kind, n, wanted.amount, settled, coupon.id, earned, qualifying, in_window, 'USD',
       %(at)s, %(now)s
FROM unnest(
    %(referrals)s::bigint[], %(kinds)s::text[], %(ns)s::smallint[], %(amounts)s::numeric[], %(settled)s::numeric[],
    %(sources)s::text[], %(earned)s::numeric[], %(qualifying)s::numeric[], %(in_window)s::numeric[]
) AS wanted (referral_id, kind, n, amount, settled, source, earned, qualifying, in_window)
LEFT JOIN credits_coupon AS coupon ON coupon.source = wanted.source
"""

MOVE_POSITIONS = """
UPDATE referrals_referral AS referral
SET payout_granted = moved.payout_granted, payout_let_go = moved.payout_let_go,
    bonus_granted = moved.bonus_granted, bonus_let_go = moved.bonus_let_go
FROM unnest(
    %(referrals)s::bigint[], %(payout_granted)s::numeric[], %(payout_let_go)s::numeric[], %(bonus_granted)s::numeric[],
    %(bonus_let_go)s::numeric[]
) AS moved (id, payout_granted, payout_let_go, bonus_granted, bonus_let_go)
WHERE referral.id = moved.id
"""
