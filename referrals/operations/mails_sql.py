"""The mails that the programme writes, each kind as one statement over all whom it tells (accounts.letters: facts).

A mail that tells of many friends has `lines` for the first of them, and counts the rest.
"""

# Whose code stood in the form: what the billing system tells of is no news from here.
FRIEND_JOINED = """
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT 'friend_joined:' || referral.id, 'friend_joined', referrer_id, '', terms_of.facts || jsonb_build_object(
           'friend_id', friend_id, 'referral_id', referral.id), %(now)s, %(now)s, 0, ''
FROM referrals_referral AS referral
JOIN accounts_user AS friend ON friend.id = friend_id
CROSS JOIN LATERAL (
    SELECT jsonb_build_object(
        'threshold_amount', qualifying_threshold::text, 'payout_amount', payout::text,
        'payout_delay_days', payout_delay_days, 'bonus_rate', bonus_rate::text,
        'bonus_window_days', bonus_window_days, 'bonus_due_at', referral.bonus_due_at,
        'bonus_most_amount', (CASE WHEN bonus_rate > 0 THEN cap_per_friend - payout ELSE 0 END)::text)
    FROM referrals_programmeterms WHERE id = terms_id
) AS terms_of (facts)
WHERE friend_id = ANY(%(friends)s::bigint[]) AND referrer_id = ANY(%(told)s::bigint[])
    AND friend.signup_attribution ? 'code' AND referral.registered_at >= %(news)s
ORDER BY referral.id
ON CONFLICT (key) DO NOTHING
"""

FRIEND_QUALIFIED = """
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT 'friend_qualified:' || referral.id, 'friend_qualified', referrer_id, '', terms_of.facts || jsonb_build_object(
           'friend_id', friend_id, 'referral_id', referral.id, 'payout_due_at', payout_due_at, 'is_held', held),
       %(now)s, %(now)s, 0, ''
FROM referrals_referral AS referral
CROSS JOIN LATERAL (
    SELECT jsonb_build_object(
        'threshold_amount', qualifying_threshold::text, 'payout_amount', payout::text,
        'payout_delay_days', payout_delay_days, 'bonus_rate', bonus_rate::text,
        'bonus_window_days', bonus_window_days, 'bonus_due_at', referral.bonus_due_at,
        'bonus_most_amount', (CASE WHEN bonus_rate > 0 THEN cap_per_friend - payout ELSE 0 END)::text)
    FROM referrals_programmeterms WHERE id = terms_id
) AS terms_of (facts)
WHERE referral.id = ANY(%(referrals)s::bigint[]) AND referrer_id = ANY(%(told)s::bigint[])
    AND qualified_at >= %(news)s AND refused_at IS NULL
    AND NOT EXISTS (SELECT FROM accounts_user WHERE id = referrer_id AND disqualified_at IS NOT NULL)
ORDER BY referral.id
ON CONFLICT (key) DO NOTHING
"""

WELCOME = """
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT 'welcome_credit:' || min(id), 'welcome_credit', customer_id, '', jsonb_build_object(
           'is_upgrade', bool_and(source LIKE '%%-upgrade:%%'),
           'welcome_amount', coalesce(sum(amount) FILTER (WHERE kind = 'welcome'), 0)::text,
           'welcome_expires_at', min(expires_at) FILTER (WHERE kind = 'welcome'),
           'trial_amount', coalesce(sum(amount) FILTER (WHERE kind = 'trial'), 0)::text,
           'trial_expires_at', min(expires_at) FILTER (WHERE kind = 'trial')), %(now)s, %(now)s, 0, ''
FROM credits_coupon
WHERE id = ANY(%(coupons)s::bigint[]) AND customer_id = ANY(%(told)s::bigint[]) AND issued_at >= %(news)s
GROUP BY customer_id ORDER BY customer_id
ON CONFLICT (key) DO NOTHING
"""

CREDIT_ARRIVED = """
WITH granted AS (
    SELECT reward.id, referrer_id, referral.friend_id, referral_id, reward.kind, reward.amount, debts_settled,
           expires_at, row_number() OVER (PARTITION BY referrer_id ORDER BY reward.id) AS place
    FROM referrals_referral AS referral
    JOIN referrals_reward AS reward ON reward.referral_id = referral.id
    LEFT JOIN credits_coupon AS coupon ON coupon.id = reward.coupon_id
    WHERE referral.id = ANY(%(referrals)s::bigint[]) AND referrer_id = ANY(%(told)s::bigint[])
        AND granted_at = %(at)s AND reward.recorded_at = %(now)s
)
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT 'credit_arrived:' || min(id), 'credit_arrived', referrer_id, '', jsonb_build_object(
           'total_amount', sum(amount)::text, 'settled_amount', sum(debts_settled)::text,
           'credit_amount', (sum(amount) - sum(debts_settled))::text, 'expires_at', min(expires_at),
           'lines', jsonb_agg(jsonb_build_object(
               'friend_id', friend_id, 'referral_id', referral_id, 'kind', kind, 'reward_amount', amount::text)
               ORDER BY place) FILTER (WHERE place <= %(lines)s),
           'more', greatest(0, count(*) - %(lines)s),
           'more_amount', coalesce(sum(amount) FILTER (WHERE place > %(lines)s), 0)::text),
       %(now)s, %(now)s, 0, ''
FROM granted GROUP BY referrer_id ORDER BY referrer_id
ON CONFLICT (key) DO NOTHING
"""

CLAWED_BACK = """
WITH taken AS (
    SELECT clawback.id, referrer_id, friend_id, referral_id, clawback.kind, clawback.refused, revoked, let_go, debt,
           row_number() OVER (PARTITION BY referrer_id ORDER BY clawback.id) AS place
    FROM referrals_referral AS referral JOIN referrals_clawback AS clawback ON clawback.referral_id = referral.id
    WHERE referral.id = ANY(%(referrals)s::bigint[]) AND referrer_id = ANY(%(told)s::bigint[])
        AND clawed_back_at = %(at)s AND clawback.recorded_at = %(now)s
)
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT 'reward_clawed_back:' || min(id), 'reward_clawed_back', referrer_id, '', jsonb_build_object(
           'total_amount', sum(revoked + let_go + debt)::text, 'revoked_amount', sum(revoked)::text,
           'let_go_amount', sum(let_go)::text, 'debt_amount', sum(debt)::text, 'count', count(*),
           'lines', jsonb_agg(jsonb_build_object(
               'friend_id', friend_id, 'referral_id', referral_id, 'kind', kind, 'refused', refused,
               'reward_amount', (revoked + let_go + debt)::text) ORDER BY place) FILTER (WHERE place <= %(lines)s),
           'more', greatest(0, count(*) - %(lines)s),
           'more_amount', coalesce(sum(revoked + let_go + debt) FILTER (WHERE place > %(lines)s), 0)::text),
       %(now)s, %(now)s, 0, ''
FROM taken GROUP BY referrer_id ORDER BY referrer_id
ON CONFLICT (key) DO NOTHING
"""

# Held, released or restored: one referral, told of with what waits or is still to come.
ONE_REFERRAL = """
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT %(kind)s || ':' || %(cause)s, %(kind)s, referrer_id, '', jsonb_build_object(
           'friend_id', friend_id, 'referral_id', id, 'waiting_amount',
           (CASE WHEN refused_at IS NULL
                 THEN greatest(0, payout_earned - payout_granted) + greatest(0, bonus_earned - bonus_granted)
                 ELSE 0 END)::text),
       %(now)s, %(now)s, 0, ''
FROM referrals_referral WHERE id = %(referral)s AND referrer_id = ANY(%(told)s::bigint[])
ON CONFLICT (key) DO NOTHING
"""

REFUSED = """
WITH refused AS (
    SELECT id, referrer_id, friend_id, payout_granted - payout_let_go + bonus_granted - bonus_let_go AS granted,
           row_number() OVER (PARTITION BY referrer_id ORDER BY registered_at, id) AS place
    FROM referrals_referral
    WHERE id = ANY(%(referrals)s::bigint[]) AND referrer_id = ANY(%(told)s::bigint[])
)
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT 'reward_refused:' || %(cause)s, 'reward_refused', referrer_id, '', jsonb_build_object(
           'count', count(*), 'granted_amount', sum(granted)::text,
           'lines', jsonb_agg(jsonb_build_object(
               'friend_id', friend_id, 'referral_id', id, 'reward_amount', granted::text) ORDER BY place)
               FILTER (WHERE place <= %(lines)s),
           'more', greatest(0, count(*) - %(lines)s),
           'more_amount', coalesce(sum(granted) FILTER (WHERE place > %(lines)s), 0)::text),
       %(now)s, %(now)s, 0, ''
FROM refused GROUP BY referrer_id
ON CONFLICT (key) DO NOTHING
"""
