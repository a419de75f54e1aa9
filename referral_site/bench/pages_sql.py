"""The friends of one referrer, in number, who joined all through the last year: at every stage, with their rewards and
coupons. Not a true story."""

FRIENDS = """
WITH person AS (
    INSERT INTO accounts_user (account_id, email, password, account_type, country, time_zone, created_at, registered_at,
                               signup_attribution, is_staff, is_active, is_superuser)
    SELECT name, name || '@example.com', '', 'individual', '', 'UTC', joined, joined, '{}', false, true, false
    FROM generate_series(1, %(friends)s) AS n,
         LATERAL (
             SELECT %(name)s || '-' || n AS name, %(now)s - n * interval '360 days' / %(friends)s AS joined) AS friend
    RETURNING id, registered_at
), friend AS (
    SELECT id, registered_at, row_number() OVER (ORDER BY id) AS n FROM person
), stage AS (
    SELECT *, n %% 3 > 0 AS is_qualified, n %% 3 = 1 AS is_paid FROM friend
), referral AS (
    INSERT INTO referrals_referral (friend_id, referrer_id, terms_id, registered_at, created_at, tracked_at,
        qualifying_spend, window_spend, qualified_at, payout_due_at, bonus_due_at, payout_earned, bonus_earned,
        payout_granted, payout_let_go, bonus_granted, bonus_let_go, currency, held)
    SELECT id, %(referrer)s, (SELECT min(id) FROM referrals_programmeterms), registered_at, registered_at,
        registered_at, spend, spend, qualified_at, qualified_at + interval '30 days',
        registered_at + interval '120 days', CASE WHEN is_qualified THEN 20 ELSE 0 END,
        CASE WHEN is_qualified THEN 2 ELSE 0 END, CASE WHEN is_paid THEN 20 ELSE 0 END, 0, 0, 0, 'USD', n %% 50 = 0
    FROM stage, LATERAL (
        SELECT CASE WHEN is_qualified THEN 40 ELSE n %% 20 END AS spend,
               CASE WHEN is_qualified THEN registered_at + interval '1 day' END AS qualified_at) AS state
    RETURNING id, friend_id, registered_at, payout_granted
), coupon AS (
    INSERT INTO credits_coupon (customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked,
                                currency, issued_at, expires_at)
    SELECT %(referrer)s, 'payout', friend_id, 'payout:' || id || ':1', 20, 20, 0, 0, 0, 'USD',
           registered_at + interval '31 days', registered_at + interval '211 days'
    FROM referral WHERE payout_granted > 0
    RETURNING id, issued_at, friend_id
), entry AS (
    INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, reference, occurred_at,
                                     recorded_at)
    SELECT id, 'ISSUE', 20, 20, 'USD', '', issued_at, issued_at FROM coupon
)
INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, coupon_id, earned, qualifying_spend,
                              window_spend, currency, granted_at, recorded_at)
SELECT referral.id, 'payout', 1, 20, 0, coupon.id, 20, 40, 40, 'USD', issued_at, issued_at
FROM coupon JOIN referral USING (friend_id)
"""

VISITS = """
INSERT INTO referrals_visitcount (link_id, day, channel, visits)
SELECT %(link)s, %(now)s::date - n, channel, n %% 7 + 1
FROM generate_series(0, 359) AS n, unnest(ARRAY['copy', 'whatsapp', 'qr']) AS channel
"""

# A friend with a reward, so that there is something to tell.
PAID_FRIEND = "SELECT min(id) FROM referrals_referral WHERE referrer_id = %(referrer)s AND payout_granted > 0"
