"""The statements of redemptions and of their return, each over all facts at hand.

LATERAL … OFFSET 0 keeps each look-up to its index, whatever the statistics say.
"""

PARSE = """
WITH formed AS (
    SELECT *, rfc3339(occurred_text) AS instant, CASE
        WHEN NOT (is_id(redemption_id) AND is_id(account_id)) THEN 'id'
        WHEN NOT is_amount(amount_text) THEN 'amount'
        WHEN rfc3339(occurred_text) IS NULL THEN 'time' END AS form_fault
    FROM unnest(%(ids)s::text[], %(accounts)s::text[], %(amounts)s::text[], %(times)s::text[])
        WITH ORDINALITY AS raw (redemption_id, account_id, amount_text, occurred_text, place)
    OFFSET 0
)
SELECT redemption_id, customer.id, CASE WHEN form_fault IS NULL THEN amount_text::numeric(12, 2) END,
       CASE WHEN form_fault IS NULL THEN instant END, form_fault
FROM formed
LEFT JOIN accounts_user AS customer ON customer.account_id = formed.account_id AND customer.registered_at IS NOT NULL
ORDER BY place
"""

KNOWN = """
SELECT redemption_id, customer_id, amount, occurred_at FROM credits_redemption
WHERE source = %(source)s AND redemption_id = ANY(%(ids)s)
"""

# Soonest-expiring first, then in the order issued. What is frozen is not usable; the trial is no credit.
PURSES = """
SELECT coupon.customer_id, coupon.id, coupon.remaining, coupon.issued_at, coupon.expires_at
FROM credits_creditaccount AS account
CROSS JOIN LATERAL (SELECT * FROM credits_coupon WHERE customer_id = account.customer_id OFFSET 0) AS coupon
WHERE account.customer_id = ANY(%(customers)s) AND account.frozen_at IS NULL
  AND coupon.remaining > 0 AND coupon.kind <> 'trial'
ORDER BY coupon.expires_at, coupon.issued_at, coupon.id
"""

INSERT_REDEMPTIONS = """
INSERT INTO credits_redemption (source, redemption_id, customer_id, amount, currency, occurred_at, recorded_at)
SELECT %(source)s, redemption_id, customer_id, amount, 'USD', occurred_at, %(now)s
FROM unnest(%(ids)s::text[], %(customers)s::bigint[], %(amounts)s::numeric[], %(times)s::timestamptz[])
    AS redemption (redemption_id, customer_id, amount, occurred_at)
ORDER BY redemption_id COLLATE "C"
ON CONFLICT (source, redemption_id) DO NOTHING
RETURNING redemption_id, id
"""

# All four parts of a coupon move at once, so that they add up after every statement.
WRITE_ENTRIES = """
WITH entry AS (
    SELECT * FROM unnest(%(coupons)s::bigint[], %(types)s::text[], %(amounts)s::numeric[], %(balances)s::numeric[],
                         %(redemptions)s::bigint[], %(references)s::text[], %(times)s::timestamptz[])
        WITH ORDINALITY AS entry (coupon_id, type, amount, balance_after, redemption_id, reference, occurred_at, place)
), coupon AS (
    UPDATE credits_coupon AS coupon
    SET remaining = coupon.remaining + moved.remaining, redeemed = coupon.redeemed + moved.redeemed,
        expired = coupon.expired + moved.expired, revoked = coupon.revoked + moved.revoked
    FROM (
        SELECT coupon_id, sum(amount) AS remaining,
               -coalesce(sum(amount) FILTER (WHERE type IN ('REDEEM', 'RETURN')), 0) AS redeemed,
               -coalesce(sum(amount) FILTER (WHERE type = 'EXPIRE'), 0) AS expired,
               -coalesce(sum(amount) FILTER (WHERE type = 'REVOKE'), 0) AS revoked
        FROM entry GROUP BY coupon_id
    ) AS moved
    WHERE coupon.id = moved.coupon_id
)
INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, redemption_id, reference,
                                 occurred_at, recorded_at)
SELECT coupon_id, type, amount, balance_after, 'USD', redemption_id, reference, occurred_at, %(now)s
FROM entry ORDER BY place
"""

# What a redemption still holds of each coupon, the last one used first.
HELD = """
SELECT coupon.id, coupon.friend_id, coupon.kind, coupon.remaining, coupon.expires_at, coupon.withdrawn_at, used.held
FROM (
    SELECT coupon_id, -sum(amount) AS held, max(id) FILTER (WHERE type = 'REDEEM') AS place
    FROM credits_couponentry WHERE redemption_id = %(redemption)s GROUP BY coupon_id HAVING sum(amount) < 0
) AS used
CROSS JOIN LATERAL (SELECT * FROM credits_coupon WHERE id = used.coupon_id OFFSET 0) AS coupon
ORDER BY used.place DESC
"""

RETURNED = """
SELECT coupon_id, amount FROM credits_couponentry
WHERE redemption_id = %(redemption)s AND type = 'RETURN' AND reference = %(name)s ORDER BY id
"""

LEFT = """
SELECT redemption.amount - (
    SELECT sum(amount) FROM credits_redemptionreturn WHERE redemption_id = redemption.id AND id <= %(return)s)
FROM credits_redemption AS redemption WHERE id = %(redemption)s
"""

OPEN_DEBTS = """
SELECT id, friend_id, kind, source, outstanding FROM credits_debt
WHERE customer_id = %(customer)s AND outstanding > 0 ORDER BY opened_at, id
"""

MAKE_GOOD = """
WITH good AS (
    SELECT * FROM unnest(%(debts)s::bigint[], %(amounts)s::numeric[], %(balances)s::numeric[])
        WITH ORDINALITY AS good (debt_id, amount, balance_after, place)
), debt AS (
    UPDATE credits_debt AS debt SET outstanding = debt.outstanding - made_good.amount
    FROM (SELECT debt_id, sum(amount) AS amount FROM good GROUP BY debt_id) AS made_good
    WHERE debt.id = made_good.debt_id
)
INSERT INTO credits_debtentry (debt_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
SELECT debt_id, 'RETURN', -amount, balance_after, 'USD', %(reference)s, %(at)s, %(now)s FROM good ORDER BY place
"""
