"""The events that webhooks tell of, each type as one statement over all that has just happened (docs/webhooks.md).

Ids, codes, amounts and instants only: nothing that names a person. Who wants to know is asked first, once a statement.
"""

from accounts.operations import WEBHOOK_EVENT, wanted

REFERRAL_CREATED = f"""
{WEBHOOK_EVENT}
SELECT 'referral.created:' || referral.id, 'referral.created', 'referral:' || referral.id, jsonb_build_object(
           'referral_id', referral.id, 'friend_id', friend.account_id, 'referrer_id', referrer.account_id,
           'registered_at', referral.registered_at, 'bonus_due_at', referral.bonus_due_at), %(now)s
FROM referrals_referral AS referral
JOIN accounts_user AS friend ON friend.id = friend_id
JOIN accounts_user AS referrer ON referrer.id = referrer_id
WHERE friend_id = ANY(%(friends)s::bigint[]) AND referral.created_at = %(now)s AND {wanted("referral.created")}
ORDER BY referral.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608  # constants of the code, here and below

# Of each referral once and for all, as its mail; of a refused one, when the refusal is lifted.
REFERRAL_QUALIFIED = f"""
{WEBHOOK_EVENT}
SELECT 'referral.qualified:' || referral.id, 'referral.qualified', 'referral:' || referral.id, jsonb_build_object(
           'referral_id', referral.id, 'friend_id', friend.account_id, 'referrer_id', referrer.account_id,
           'qualified_at', qualified_at, 'payout_due_at', payout_due_at, 'bonus_due_at', bonus_due_at,
           'qualifying_spend', qualifying_spend::text, 'currency', currency, 'held', held), %(now)s
FROM referrals_referral AS referral
JOIN accounts_user AS friend ON friend.id = friend_id
JOIN accounts_user AS referrer ON referrer.id = referrer_id
WHERE referral.id = ANY(%(referrals)s::bigint[]) AND qualified_at IS NOT NULL AND refused_at IS NULL
    AND {wanted("referral.qualified")}
ORDER BY referral.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608

REWARD_GRANTED = f"""
{WEBHOOK_EVENT}
SELECT 'reward.granted:' || reward.id, 'reward.granted', 'referral:' || referral.id, jsonb_build_object(
           'reward_id', reward.id, 'referral_id', referral.id, 'friend_id', friend.account_id,
           'referrer_id', referrer.account_id, 'kind', reward.kind, 'n', reward.n, 'amount', reward.amount::text,
           'debts_settled', debts_settled::text, 'currency', reward.currency, 'coupon_id', coupon_id,
           'granted_at', granted_at, 'expires_at', coupon.expires_at), %(now)s
FROM referrals_reward AS reward
JOIN referrals_referral AS referral ON referral.id = reward.referral_id
JOIN accounts_user AS friend ON friend.id = referral.friend_id
JOIN accounts_user AS referrer ON referrer.id = referrer_id
LEFT JOIN credits_coupon AS coupon ON coupon.id = reward.coupon_id
WHERE referral.id = ANY(%(referrals)s::bigint[]) AND granted_at = %(at)s AND reward.recorded_at = %(now)s
    AND {wanted("reward.granted")}
ORDER BY reward.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608

REWARD_CLAWED_BACK = f"""
{WEBHOOK_EVENT}
SELECT 'reward.clawed_back:' || clawback.id, 'reward.clawed_back', 'referral:' || referral.id, jsonb_build_object(
           'clawback_id', clawback.id, 'referral_id', referral.id, 'friend_id', friend.account_id,
           'referrer_id', referrer.account_id, 'kind', clawback.kind, 'n', clawback.n,
           'amount', (revoked + let_go + debt)::text, 'revoked', revoked::text, 'let_go', let_go::text,
           'debt', debt::text, 'currency', clawback.currency, 'refused', clawback.refused,
           'clawed_back_at', clawed_back_at), %(now)s
FROM referrals_clawback AS clawback
JOIN referrals_referral AS referral ON referral.id = clawback.referral_id
JOIN accounts_user AS friend ON friend.id = referral.friend_id
JOIN accounts_user AS referrer ON referrer.id = referrer_id
WHERE referral.id = ANY(%(referrals)s::bigint[]) AND clawed_back_at = %(at)s AND clawback.recorded_at = %(now)s
    AND {wanted("reward.clawed_back")}
ORDER BY clawback.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608

# A reward's coupon and a friend's welcome credit belong to their referral; a trial and goodwill to their account.
OF_COUPON = """
LEFT JOIN LATERAL (
    SELECT id FROM referrals_referral WHERE friend_id = CASE
        WHEN coupon.friend_id IS NOT NULL THEN coupon.friend_id WHEN coupon.kind = 'welcome' THEN coupon.customer_id END
    OFFSET 0
) AS referral ON true
JOIN accounts_user AS customer ON customer.id = coupon.customer_id
LEFT JOIN accounts_user AS friend ON friend.id = coupon.friend_id
"""
STREAM_OF_COUPON = "coalesce('referral:' || referral.id, 'account:' || customer.account_id)"

COUPON_EXPIRING = f"""
{WEBHOOK_EVENT}
SELECT concat_ws(':', 'coupon.expiring', %(days)s, coupon.id), 'coupon.expiring', {STREAM_OF_COUPON},
       jsonb_build_object(
           'coupon_id', coupon.id, 'referral_id', referral.id, 'account_id', customer.account_id,
           'friend_id', friend.account_id, 'kind', coupon.kind, 'remaining', remaining::text,
           'currency', coupon.currency, 'expires_at', expires_at, 'days', %(days)s::int), %(now)s
FROM credits_coupon AS coupon
JOIN credits_creditaccount AS account USING (customer_id)
{OF_COUPON}
WHERE remaining > 0 AND expires_at > %(after)s AND expires_at <= %(until)s AND issued_at <= %(now)s
    AND account.frozen_at IS NULL AND {wanted("coupon.expiring")}
ORDER BY coupon.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608

COUPON_EXPIRED = f"""
{WEBHOOK_EVENT}
SELECT 'coupon.expired:' || entry.id, 'coupon.expired', {STREAM_OF_COUPON}, jsonb_build_object(
           'coupon_id', coupon.id, 'entry_id', entry.id, 'referral_id', referral.id,
           'account_id', customer.account_id, 'friend_id', friend.account_id, 'kind', coupon.kind,
           'amount', (-entry.amount)::text, 'currency', coupon.currency, 'expired_at', entry.occurred_at), %(now)s
FROM credits_coupon AS coupon
JOIN credits_couponentry AS entry ON entry.coupon_id = coupon.id
{OF_COUPON}
WHERE coupon.id = ANY(%(coupons)s::bigint[]) AND entry.type = 'EXPIRE' AND entry.recorded_at = %(now)s
    AND {wanted("coupon.expired")}
ORDER BY entry.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608

# A note that becomes a hold is told of once more: from then on it stops the grants.
FLAG_OPENED = f"""
{WEBHOOK_EVENT}
SELECT concat_ws(':', 'flag.opened', flag.id, severity), 'flag.opened', 'referral:' || referral_id, jsonb_build_object(
           'flag_id', flag.id, 'referral_id', referral_id, 'friend_id', friend.account_id,
           'referrer_id', referrer.account_id, 'rule', rule, 'severity', severity, 'opened_at', opened_at), %(now)s
FROM referrals_fraudflag AS flag
JOIN referrals_referral AS referral ON referral.id = referral_id
JOIN accounts_user AS friend ON friend.id = friend_id
JOIN accounts_user AS referrer ON referrer.id = referrer_id
WHERE flag.id = %(flag)s AND {wanted("flag.opened")}
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608

FLAG_CLOSED = f"""
{WEBHOOK_EVENT}
SELECT 'flag.closed:' || flag.id, 'flag.closed', 'referral:' || referral_id, jsonb_build_object(
           'flag_id', flag.id, 'referral_id', referral_id, 'friend_id', friend.account_id,
           'referrer_id', referrer.account_id, 'rule', rule, 'severity', severity, 'outcome', outcome,
           'opened_at', opened_at, 'closed_at', flag.closed_at), %(now)s
FROM referrals_fraudflag AS flag
JOIN referrals_referral AS referral ON referral.id = referral_id
JOIN accounts_user AS friend ON friend.id = friend_id
JOIN accounts_user AS referrer ON referrer.id = referrer_id
WHERE flag.id = ANY(%(flags)s::bigint[]) AND {wanted("flag.closed")}
ORDER BY flag.id
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608
