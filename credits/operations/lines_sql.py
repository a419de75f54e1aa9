"""The statements of a redemption by lines: one each for who pays, for what is known, and for what is written."""

# The customer's own row is not locked: who they are does not change here.
PAYER = """
SELECT customer_id, frozen_at IS NOT NULL
FROM credits_creditaccount JOIN accounts_user AS customer ON customer.id = customer_id
WHERE customer.account_id = %(account)s AND customer.registered_at IS NOT NULL
"""

KNOWN = """
SELECT redemption.id, customer.account_id, redemption.occurred_at
FROM credits_redemption AS redemption JOIN accounts_user AS customer ON customer.id = customer_id
WHERE source = %(source)s AND redemption_id = %(name)s
"""

LINES = """
SELECT product, amount, accepts_credit FROM credits_redemptionline WHERE redemption_id = %(redemption)s
ORDER BY position
"""

# As it was used, and what that left on it.
USED = """
SELECT coupon.id, coupon.kind, coupon.expires_at, -entry.amount, entry.balance_after - entry.amount
FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
WHERE entry.redemption_id = %(redemption)s AND entry.type = 'REDEEM'
ORDER BY entry.id
"""

# Soonest-expiring first, then in the order issued; the trial is no credit (TERMS: Credit).
USABLE = """
SELECT id, kind, expires_at, remaining, remaining FROM credits_coupon
WHERE customer_id = %(customer)s AND remaining > 0 AND kind <> 'trial' AND issued_at <= %(now)s AND expires_at > %(now)s
ORDER BY expires_at, issued_at, id
"""

# All or nothing: where the id is known, nothing of it is written.
RECORD = """
WITH redemption AS (
    INSERT INTO credits_redemption (source, redemption_id, customer_id, amount, currency, occurred_at, recorded_at)
    VALUES (%(source)s, %(name)s, %(customer)s, %(paid)s, 'USD', %(now)s, %(now)s)
    ON CONFLICT (source, redemption_id) DO NOTHING
    RETURNING id
), line AS (
    INSERT INTO credits_redemptionline (redemption_id, position, product, accepts_credit, amount, paid, currency)
    SELECT redemption.id, position, product, accepts_credit, amount, paid, 'USD'
    FROM redemption, unnest(%(products)s::text[], %(accepts)s::boolean[], %(amounts)s::numeric[], %(pays)s::numeric[])
        WITH ORDINALITY AS line (product, accepts_credit, amount, paid, position)
), used AS (
    SELECT redemption.id AS redemption_id, used.*
    FROM redemption, unnest(%(coupons)s::bigint[], %(parts)s::numeric[], %(balances)s::numeric[])
        WITH ORDINALITY AS used (coupon_id, part, balance_after, place)
), coupon AS (
    UPDATE credits_coupon AS coupon SET remaining = coupon.remaining - part, redeemed = coupon.redeemed + part
    FROM used WHERE coupon.id = used.coupon_id
), entry AS (
    INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, redemption_id, reference,
                                     occurred_at, recorded_at)
    SELECT coupon_id, 'REDEEM', -part, balance_after, 'USD', redemption_id, %(name)s, %(now)s, %(now)s
    FROM used ORDER BY place
)
SELECT id FROM redemption
"""
