"""The statements of the seed, each over all rows of its tables.

A friend's place says which cohort it is of: `cohorts` are given as arrays, and who is of none is of the last one.
"""

COHORTS = """
CREATE TEMPORARY TABLE seed_friend ON COMMIT DROP AS
SELECT friend, %(friends)s + 1 + CASE WHEN %(clustered)s THEN (friend - 1) * 7919 %% %(referrers)s
                                      ELSE (friend - 1) / %(each)s END AS referrer,
       (%(registered)s::timestamptz[])[cohort] + part * interval '1 minute' AS registered_at,
       (%(spends)s::numeric[])[cohort] AS spend, (%(paid)s::boolean[])[cohort] AS is_paid
FROM generate_series(1::bigint, %(friends)s) AS friend
CROSS JOIN LATERAL (
    SELECT least(cardinality(%(paid)s::boolean[]), 1 + CASE
               WHEN friend > %(in_cohorts)s THEN %(cohorts)s
               WHEN %(clustered)s THEN (friend - 1) / %(due)s
               ELSE (friend - 1) %% %(cohorts)s END) AS cohort,
           CASE WHEN %(clustered)s THEN (friend - 1) %% %(due)s ELSE (friend - 1) / %(cohorts)s END %% %(parts)s AS part
) AS place
"""

USERS = """
INSERT INTO accounts_user (id, password, is_superuser, account_id, email, account_type, country, time_zone, created_at,
                           registered_at, signup_attribution, is_staff, is_active)
SELECT id, '', false, 'bench-' || id, 'bench-' || id || '@example.com', 'individual', 'US', 'UTC', %(base)s,
       registered_at, '{}', false, true
FROM (
    SELECT friend AS id, registered_at FROM seed_friend
    UNION ALL
    SELECT %(friends)s + referrer, %(base)s FROM generate_series(1, %(referrers)s) AS referrer
) AS customer
"""

ACCOUNTS = """
INSERT INTO credits_creditaccount (customer_id) SELECT generate_series(1, %(friends)s + %(referrers)s)
"""

# All spend is one payment at the instant of the registration.
REFERRALS = """
INSERT INTO referrals_referral (id, friend_id, referrer_id, terms_id, registered_at, created_at, tracked_at, currency,
                                qualifying_spend, window_spend, qualified_at, payout_due_at, bonus_due_at,
                                payout_earned, bonus_earned, payout_granted, payout_let_go, bonus_granted, bonus_let_go,
                                held)
SELECT friend, friend, referrer, terms.id, registered_at, %(base)s, %(base)s, 'USD', spend, spend, qualified_at,
       qualified_at + payout_delay_days * interval '24 hours',
       registered_at + (bonus_window_days + bonus_delay_days) * interval '24 hours',
       earned, CASE WHEN earned > 0 THEN round(bonus_rate * (spend - qualifying_threshold), 2) ELSE 0 END,
       CASE WHEN is_paid THEN earned ELSE 0 END, 0, 0, 0, false
FROM (SELECT * FROM referrals_programmeterms ORDER BY starts_at LIMIT 1) AS terms, seed_friend CROSS JOIN LATERAL (
    SELECT CASE WHEN spend >= qualifying_threshold THEN registered_at END AS qualified_at,
           CASE WHEN spend >= qualifying_threshold THEN payout ELSE 0 END AS earned
) AS figures
"""

BATCH = """
INSERT INTO billing_spendbatch (id, source, received_at, accepted, waiting, duplicate, refused, applied_at)
VALUES (1, 'seed', %(base)s, 0, 0, 0, 0, %(base)s)
"""

EVENTS = """
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, product_id, original_currency,
                                original_amount, rate, amount, currency, qualifies, occurred_at)
SELECT 1, 'seed', 'seed-' || friend, friend, 'payment', product.id, 'USD', spend, 1, spend, 'USD', true, registered_at
FROM seed_friend CROSS JOIN (SELECT id FROM billing_product WHERE code = 'ecs') AS product
WHERE spend > 0
"""

_COUPONS = """
INSERT INTO credits_coupon (customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked,
                            currency, issued_at, expires_at)
SELECT customer_id, kind, friend_id, source, amount, amount, 0, 0, 0, 'USD', issued_at,
       issued_at + valid_days * interval '24 hours'
FROM (SELECT * FROM referrals_programmeterms ORDER BY starts_at LIMIT 1) AS terms CROSS JOIN LATERAL ({}) AS coupon
"""

WELCOMES = _COUPONS.format("""
    SELECT friend AS customer_id, 'welcome' AS kind, NULL::bigint AS friend_id, 'welcome:' || friend AS source,
           welcome_individual AS amount, registered_at AS issued_at, credit_valid_days AS valid_days
    FROM seed_friend
""")

TRIALS = _COUPONS.format("""
    SELECT id AS customer_id, 'trial' AS kind, NULL::bigint AS friend_id, 'trial:' || id AS source,
           trial_individual AS amount, registered_at AS issued_at, trial_valid_days AS valid_days
    FROM accounts_user
""")

PAYOUTS = _COUPONS.format("""
    SELECT referrer_id AS customer_id, 'payout' AS kind, referral.friend_id, 'payout:' || referral.id || ':1' AS source,
           payout_granted AS amount, payout_due_at AS issued_at, credit_valid_days AS valid_days
    FROM referrals_referral AS referral WHERE payout_granted > 0
""")

REWARDS = """
INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, coupon_id, earned, qualifying_spend,
                              window_spend, currency, granted_at, recorded_at)
SELECT referral.id, 'payout', 1, payout_granted, 0, coupon.id, payout_earned, qualifying_spend, window_spend, 'USD',
       payout_due_at, payout_due_at
FROM referrals_referral AS referral JOIN credits_coupon AS coupon ON coupon.friend_id = referral.friend_id
WHERE payout_granted > 0
"""

# Three coupons for each customer who redeems, soonest-expiring first; and three large ones for the crowd's account.
GOODWILL = _COUPONS.format("""
    SELECT %(friends)s + referrer AS customer_id, 'goodwill' AS kind, NULL::bigint AS friend_id,
           'goodwill:' || referrer || ':' || n AS source, 5.00 AS amount, %(base)s::timestamptz AS issued_at,
           400 + n AS valid_days
    FROM generate_series(1, %(redeemers)s) AS referrer, generate_series(1, 3) AS n
    UNION ALL
    SELECT %(friends)s + %(referrers)s, 'goodwill', NULL, 'goodwill:crowd:' || n, 1000000, %(base)s, 500
    FROM generate_series(1, 3) AS n
""")

ENTRIES = """
INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
SELECT id, 'ISSUE', amount, amount, 'USD', source, issued_at, issued_at FROM credits_coupon
"""

SEQUENCES = """
SELECT setval(pg_get_serial_sequence(name, 'id'), 1 + %(friends)s + %(referrers)s)
FROM unnest(ARRAY['accounts_user', 'referrals_referral', 'billing_spendbatch']) AS name
"""
