"""The raw side: what a hand-written script would run to write the same rows, and nothing more.

No locks but those of the rows that it writes, no chunks, no second reading, no refusals: the floor that the engine is
measured against.
"""

STAGE = """
CREATE TEMPORARY TABLE staged_spend (
    event_id text, account_id text, type text, product text, currency text, amount numeric(12, 2),
    occurred_at timestamptz, payment_id text
) ON COMMIT DROP
"""

COPY = "COPY staged_spend FROM STDIN WITH (FORMAT csv, HEADER)"

_RECORD = """
WITH batch AS (
    INSERT INTO billing_spendbatch (source, received_at, accepted, waiting, duplicate, refused, applied_at)
    VALUES ('billing', %(now)s, 0, 0, 0, 0, %(now)s) RETURNING id
), event AS (
    INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, product_id, original_currency,
                                    original_amount, rate, amount, currency, qualifies, occurred_at)
    SELECT batch.id, 'billing', event_id, customer.id, type, product.id, staged.currency, amount, 1, amount, 'USD',
           earns_credit, occurred_at
    FROM batch, staged_spend AS staged
    JOIN accounts_user AS customer USING (account_id)
    JOIN billing_product AS product ON product.code = staged.product
    WHERE staged.type = 'payment'
    ON CONFLICT (source, event_id) DO NOTHING
    RETURNING batch_id, customer_id, event_id, amount, occurred_at
)
"""

_AGGREGATE = """
, running AS (
    SELECT *, sum(amount) OVER (PARTITION BY customer_id ORDER BY occurred_at, event_id) AS so_far FROM event
), spend AS (
    SELECT referral.id, sum(amount) AS qualifying,
           coalesce(sum(amount) FILTER (WHERE occurred_at < registered_at + bonus_window_days * interval '24 hours'), 0)
               AS in_window,
           min(occurred_at) FILTER (WHERE so_far >= qualifying_threshold) AS qualified_at
    FROM running
    JOIN referrals_referral AS referral ON referral.friend_id = running.customer_id
    JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
    GROUP BY referral.id
)
UPDATE referrals_referral AS referral
SET qualifying_spend = qualifying, window_spend = in_window, qualified_at = spend.qualified_at,
    payout_due_at = spend.qualified_at + terms.payout_delay_days * interval '24 hours',
    payout_earned = CASE WHEN spend.qualified_at IS NULL THEN 0 ELSE payout END,
    bonus_earned = CASE WHEN spend.qualified_at IS NULL THEN 0 ELSE
        least(round(bonus_rate * greatest(0, in_window - qualifying_threshold), 2), cap_per_friend - payout) END,
    tracked_at = coalesce(tracked_at, %(now)s)
FROM spend, referrals_programmeterms AS terms
WHERE referral.id = spend.id AND terms.id = referral.terms_id
"""

# A friend of this file has no spend but that of this file: no second look at older events.
RECORD_AND_AGGREGATE = _RECORD + _AGGREGATE

RECORD_PAYMENTS = f"{_RECORD} SELECT DISTINCT batch_id FROM event"  # noqa: S608

# What the API does: whoever tracks comes later.
RECORD_ALONE = RECORD_PAYMENTS.replace("duplicate, refused, applied_at)", "duplicate, refused)").replace(
    "0, 0, 0, 0, %(now)s) RETURNING", "0, 0, 0, 0) RETURNING"
)

RECORD_REFUNDS = """
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, payment_id, original_currency,
                                original_amount, rate, amount, currency, qualifies, occurred_at)
SELECT %(batch)s, 'billing', staged.event_id, payment.customer_id, 'refund', payment.id, payment.original_currency,
       staged.amount, payment.rate, round(staged.amount * payment.rate, 2), 'USD', payment.qualifies, staged.occurred_at
FROM staged_spend AS staged
JOIN billing_spendevent AS payment ON payment.source = 'billing' AND payment.event_id = staged.payment_id
WHERE staged.type = 'refund'
ON CONFLICT (source, event_id) DO NOTHING
"""

# The friends of this file have older payments, and refunds of both: all their spend is read.
AGGREGATE_NETS = f"""
WITH friend AS (
    SELECT DISTINCT customer_id FROM billing_spendevent WHERE batch_id = %(batch)s
), refund AS (
    SELECT payment_id, sum(amount) AS amount
    FROM billing_spendevent JOIN friend USING (customer_id) WHERE type = 'refund' GROUP BY payment_id
), event AS (
    SELECT customer_id, event_id, payment.amount - coalesce(refund.amount, 0) AS amount, occurred_at
    FROM billing_spendevent AS payment JOIN friend USING (customer_id)
    LEFT JOIN refund ON refund.payment_id = payment.id
    WHERE payment.type = 'payment' AND payment.qualifies
)
{_AGGREGATE}
"""  # noqa: S608

SPEND_A_DOLLAR = """
WITH batch AS (
    INSERT INTO billing_spendbatch (source, received_at, accepted, waiting, duplicate, refused)
    VALUES ('pile', %(at)s, 0, 0, 0, 0) RETURNING id
)
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, product_id, original_currency,
                                original_amount, rate, amount, currency, qualifies, occurred_at)
SELECT batch.id, 'pile', friend || ':' || %(part)s, friend, 'payment', product.id, 'USD', 1, 1, 1, 'USD', true, %(at)s
FROM batch, generate_series(%(first)s::bigint, %(last)s, %(step)s) AS friend, billing_product AS product
WHERE product.code = 'ecs'
"""

_GRANT = """
WITH due AS (
    SELECT referral.*, terms.credit_valid_days
    FROM referrals_referral AS referral JOIN referrals_programmeterms AS terms ON terms.id = referral.terms_id
    WHERE {kind}_granted < {kind}_earned AND NOT held AND {kind}_due_at <= %(at)s
), coupon AS (
    INSERT INTO credits_coupon (customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked,
                                currency, issued_at, expires_at)
    SELECT referrer_id, '{kind}', friend_id, '{kind}:' || id || ':1', {kind}_earned, {kind}_earned, 0, 0, 0, 'USD',
           %(at)s, %(at)s + credit_valid_days * interval '24 hours'
    FROM due
    RETURNING id, friend_id, source, amount
), entry AS (
    INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, reference, occurred_at,
                                     recorded_at)
    SELECT id, 'ISSUE', amount, amount, 'USD', source, %(at)s, %(at)s FROM coupon
), reward AS (
    INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, coupon_id, earned, qualifying_spend,
                                  window_spend, currency, granted_at, recorded_at)
    SELECT due.id, '{kind}', 1, {kind}_earned, 0, coupon.id, {kind}_earned, qualifying_spend, window_spend, 'USD',
           %(at)s, %(at)s
    FROM due JOIN coupon USING (friend_id)
)
UPDATE referrals_referral AS referral SET {kind}_granted = due.{kind}_earned FROM due WHERE referral.id = due.id
"""

GRANT = {kind: _GRANT.format(kind=kind) for kind in ("payout", "bonus")}

EXPIRE = """
WITH lapsed AS (
    SELECT id, remaining, expires_at FROM credits_coupon WHERE remaining > 0 AND expires_at <= %(at)s
), entry AS (
    INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, reference, occurred_at,
                                     recorded_at)
    SELECT id, 'EXPIRE', -remaining, 0, 'USD', '', expires_at, %(at)s FROM lapsed
)
UPDATE credits_coupon AS coupon SET remaining = 0, expired = coupon.expired + lapsed.remaining
FROM lapsed WHERE coupon.id = lapsed.id
"""

# One statement a kind of thing due, as five scripts would ask.
NOTHING_DUE = (
    "SELECT id FROM billing_spendbatch WHERE applied_at IS NULL",
    "SELECT id FROM referrals_referral WHERE tracked_at IS NULL",
    "SELECT customer_id FROM credits_coupon WHERE remaining > 0 AND expires_at <= %(at)s",
    "SELECT referrer_id FROM referrals_referral WHERE payout_granted < payout_earned AND NOT held"
    " AND payout_due_at <= %(at)s",
    "SELECT referrer_id FROM referrals_referral WHERE bonus_granted < bonus_earned AND NOT held"
    " AND bonus_due_at <= %(at)s",
    "SELECT referrer_id FROM referrals_referral WHERE payout_granted > payout_earned + payout_let_go"
    " OR bonus_granted > bonus_earned + bonus_let_go",
)

LOCK_ACCOUNT = "SELECT 1 FROM credits_creditaccount WHERE customer_id = %(customer)s FOR NO KEY UPDATE"

USABLE = """
SELECT id, remaining FROM credits_coupon
WHERE customer_id = %(customer)s AND remaining > 0 AND kind <> 'trial' AND issued_at <= %(at)s AND expires_at > %(at)s
ORDER BY expires_at, issued_at, id
"""

INSERT_REDEMPTION = """
INSERT INTO credits_redemption (source, redemption_id, customer_id, amount, currency, occurred_at, recorded_at)
VALUES ('bench', %(name)s, %(customer)s, %(amount)s, 'USD', %(at)s, %(at)s) RETURNING id
"""

INSERT_LINE = """
INSERT INTO credits_redemptionline (redemption_id, position, product, accepts_credit, amount, paid, currency)
SELECT %(redemption)s, 1, code, accepts_credit, %(amount)s, %(amount)s, 'USD' FROM billing_product
WHERE code = %(product)s
"""

SPEND_COUPONS = """
UPDATE credits_coupon AS coupon SET remaining = remaining - part, redeemed = redeemed + part
FROM unnest(%(coupons)s::bigint[], %(parts)s::numeric[]) AS taken (id, part) WHERE coupon.id = taken.id
"""

INSERT_ENTRIES = """
INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, redemption_id, reference,
                                 occurred_at, recorded_at)
SELECT coupon, 'REDEEM', -part, balance, 'USD', %(redemption)s, %(name)s, %(at)s, %(at)s
FROM unnest(%(coupons)s::bigint[], %(parts)s::numeric[], %(balances)s::numeric[]) AS taken (coupon, part, balance)
"""

# The tables of the books that grow with the programme, each read to its last column.
READ_ONCE = (
    "SELECT count(*), max(registered_at), max(disqualified_at) FROM accounts_user",
    "SELECT count(*), max(frozen_at) FROM credits_creditaccount",
    "SELECT count(*), sum(revoked), max(expires_at) FROM credits_coupon",
    "SELECT count(*), sum(amount), max(recorded_at) FROM credits_couponentry",
    "SELECT count(*), sum(amount), max(recorded_at) FROM credits_redemption",
    "SELECT count(*), sum(amount), max(occurred_at) FROM billing_spendevent",
    "SELECT count(*), sum(bonus_granted), max(tracked_at) FROM referrals_referral",
    "SELECT count(*), sum(amount), max(recorded_at) FROM referrals_reward",
)
