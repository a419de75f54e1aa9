"""The statements of spend in, each over the whole batch (TERMS: Facts that are refused).

LATERAL … OFFSET 0 keeps each look-up to its index: an import that was killed leaves statistics that know of no rows, by
which any other way looks as cheap.
"""

CLEAR = "DROP TABLE incoming_spend, judged_spend"

STAGE = """
CREATE TEMPORARY TABLE incoming_spend (
    line bigint, event_id text COLLATE "C", account_id text COLLATE "C", type text COLLATE "C",
    product text COLLATE "C", currency text COLLATE "C", amount text, occurred_at text, payment_id text COLLATE "C"
) ON COMMIT DROP
"""

COPY = """
COPY incoming_spend FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (
    event_id, account_id, type, product, currency, amount, occurred_at, payment_id))
"""

# A payment takes its own key shared, a reversal its own and its payment's exclusively; each key once, in key order.
LOCK_IDS = """
SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(20260101, key)
            ELSE pg_advisory_xact_lock_shared(20260101, key) END
FROM (
    SELECT key, bool_or(exclusive) AS exclusive
    FROM (
        SELECT hashtext(%(source)s || ' ' || event_id) & 511 AS key, type <> 'payment' AS exclusive FROM incoming_spend
        UNION ALL
        SELECT hashtext(%(source)s || ' ' || payment_id) & 511, true FROM incoming_spend WHERE type <> 'payment'
    ) AS wanted
    GROUP BY key ORDER BY key OFFSET 0
) AS in_order
"""

# A payment needs the rate of the last banking day at or before it, at most seven days older; a reversal a currency that
# there is: it has its payment's rate. `whole` are the currencies that have no cents.
JUDGE = """
CREATE TEMPORARY TABLE judged_spend ON COMMIT DROP AS
WITH parsed AS MATERIALIZED (
    SELECT *, rfc3339(occurred_at) AS instant,
           CASE WHEN is_amount(amount) THEN currency <> ALL(%(whole)s) OR amount::numeric = trunc(amount::numeric)
                ELSE false END AS is_amount,
           is_id(event_id) AND is_id(account_id)
           AND (type NOT IN ('refund', 'chargeback', 'chargeback_reversal') OR is_id(payment_id)) AS has_ids
    FROM incoming_spend
), valued AS MATERIALIZED (
    SELECT line, event_id, account_id, type, product, currency, payment_id, instant AS occurred_at,
           (instant AT TIME ZONE 'UTC')::date AS occurred_on,
           CASE WHEN is_amount THEN amount::numeric(12, 2) END AS amount,
           CASE WHEN NOT has_ids THEN 'id'
                WHEN NOT is_amount THEN 'amount'
                WHEN type NOT IN ('payment', 'refund', 'chargeback', 'chargeback_reversal') THEN 'type'
                WHEN instant IS NULL THEN 'time' END AS form_fault
    FROM parsed
), checked AS (
    SELECT valued.*, customer.id AS customer_id, product.id AS product_id, product.earns_credit AS qualifies,
           exchange.rate, exchange.day AS rate_day, CASE
               WHEN valued.currency <> 'USD' AND exchange.day IS NULL THEN 'currency'
               WHEN customer.id IS NULL THEN 'account'
               WHEN type = 'payment' AND product.id IS NULL THEN 'product'
               WHEN type = 'payment' AND valued.occurred_at < customer.registered_at THEN 'time'
               WHEN valued.occurred_at > %(now)s + interval '5 minutes' THEN 'time' END AS own_fault
    FROM valued
    LEFT JOIN LATERAL (
        SELECT id, registered_at FROM accounts_user WHERE account_id = valued.account_id OFFSET 0
    ) AS customer ON customer.registered_at IS NOT NULL
    LEFT JOIN billing_product AS product ON product.code = valued.product
    LEFT JOIN LATERAL (
        SELECT rate, day FROM billing_exchangerate
        WHERE valued.currency <> 'USD' AND currency = valued.currency AND (
            type <> 'payment' OR day BETWEEN occurred_on - 7 AND occurred_on)
        ORDER BY day DESC LIMIT 1
    ) AS exchange ON true
), asked AS (
    SELECT DISTINCT event_id FROM valued WHERE form_fault IS NULL
), touched AS (
    SELECT event_id FROM valued WHERE form_fault IS NULL AND type <> 'payment'
    UNION
    SELECT payment_id FROM valued WHERE form_fault IS NULL AND type <> 'payment'
    UNION
    SELECT asked.event_id FROM asked
    JOIN billing_waitingreversal AS waiting ON waiting.source = %(source)s AND waiting.event_id = asked.event_id
    UNION
    SELECT unnest(ARRAY[waiting.event_id, waiting.payment_event_id]) FROM asked
    JOIN billing_waitingreversal AS waiting ON waiting.source = %(source)s AND waiting.payment_event_id = asked.event_id
), known AS (
    SELECT event.event_id, event.type, event.original_currency, event.original_amount, event.occurred_at,
           customer.account_id, product.code AS product
    FROM asked
    CROSS JOIN LATERAL (
        SELECT * FROM billing_spendevent WHERE source = %(source)s AND event_id = asked.event_id OFFSET 0
    ) AS event
    CROSS JOIN LATERAL (SELECT account_id FROM accounts_user WHERE id = event.customer_id OFFSET 0) AS customer
    LEFT JOIN billing_product AS product ON product.id = event.product_id
), first AS (
    SELECT DISTINCT ON (event_id) checked.*
    FROM checked
    WHERE form_fault IS NULL AND own_fault IS NULL AND type = 'payment'
      AND NOT EXISTS (SELECT FROM known WHERE known.event_id = checked.event_id)
    ORDER BY event_id, line
)
SELECT checked.*, touched.event_id IS NOT NULL AS tangled, CASE
    WHEN checked.form_fault IS NOT NULL THEN checked.form_fault
    WHEN touched.event_id IS NOT NULL THEN NULL
    WHEN known.event_id IS NOT NULL THEN CASE
        WHEN (known.type, known.account_id, known.product, known.original_currency, known.original_amount,
              known.occurred_at)
           = (checked.type, checked.account_id, checked.product, checked.currency, checked.amount, checked.occurred_at)
        THEN 'duplicate' ELSE 'conflict' END
    WHEN checked.line = first.line THEN 'accepted'
    WHEN checked.line > first.line THEN CASE
        WHEN (first.account_id, first.product, first.currency, first.amount, first.occurred_at)
           = (checked.account_id, checked.product, checked.currency, checked.amount, checked.occurred_at)
        THEN 'duplicate' ELSE 'conflict' END
    ELSE checked.own_fault END AS verdict
FROM checked
LEFT JOIN touched ON touched.event_id = checked.event_id
LEFT JOIN known ON known.event_id = checked.event_id
LEFT JOIN first ON first.event_id = checked.event_id
"""

TANGLED = """
SELECT event_id, type, account_id, product, currency, amount, occurred_at,
       CASE WHEN type = 'payment' THEN '' ELSE payment_id END, own_fault, line
FROM judged_spend WHERE tangled AND form_fault IS NULL ORDER BY line
"""

WAITING = """
SELECT waiting.id, waiting.run_id, waiting.line, waiting.fact,
       waiting.event_id, waiting.type, customer.account_id, '', waiting.original_currency, waiting.original_amount,
       waiting.occurred_at, waiting.payment_event_id
FROM billing_waitingreversal AS waiting JOIN accounts_user AS customer ON customer.id = waiting.customer_id
WHERE waiting.source = %(source)s AND (waiting.event_id = ANY(%(ids)s) OR waiting.payment_event_id = ANY(%(ids)s))
ORDER BY waiting.id
"""

KNOWN = """
SELECT event.event_id, event.type, customer.account_id, coalesce(product.code, ''), event.original_currency,
       event.original_amount, event.occurred_at, coalesce(payment.event_id, '')
FROM unnest(%(ids)s::text[]) AS wanted (event_id)
CROSS JOIN LATERAL (
    SELECT * FROM billing_spendevent WHERE source = %(source)s AND event_id = wanted.event_id OFFSET 0
) AS event
CROSS JOIN LATERAL (SELECT account_id FROM accounts_user WHERE id = event.customer_id OFFSET 0) AS customer
LEFT JOIN billing_product AS product ON product.id = event.product_id
LEFT JOIN LATERAL (SELECT event_id FROM billing_spendevent WHERE id = event.payment_id OFFSET 0) AS payment ON true
"""

PAYMENTS = """
SELECT payment.event_id, customer.account_id, payment.original_currency, payment.original_amount,
       reversals.refunded, reversals.charged_back, reversals.won
FROM unnest(%(ids)s::text[]) AS wanted (event_id)
CROSS JOIN LATERAL (
    SELECT * FROM billing_spendevent WHERE source = %(source)s AND event_id = wanted.event_id OFFSET 0
) AS payment
CROSS JOIN LATERAL (SELECT account_id FROM accounts_user WHERE id = payment.customer_id OFFSET 0) AS customer
CROSS JOIN LATERAL (
    SELECT coalesce(sum(original_amount) FILTER (WHERE type = 'refund'), 0) AS refunded,
           coalesce(sum(original_amount) FILTER (WHERE type = 'chargeback'), 0) AS charged_back,
           coalesce(sum(original_amount) FILTER (WHERE type = 'chargeback_reversal'), 0) AS won
    FROM billing_spendevent WHERE payment_id = payment.id
) AS reversals
WHERE payment.type = 'payment'
"""

ACCEPT_TANGLED = "UPDATE judged_spend SET verdict = 'accepted' WHERE line = ANY(%(places)s)"

COUNT_VERDICTS = "SELECT verdict, count(*) FROM judged_spend WHERE verdict IS NOT NULL GROUP BY verdict"

REFUSED = """
SELECT line, verdict FROM judged_spend WHERE verdict NOT IN ('accepted', 'duplicate') ORDER BY line
"""

INSERT_PAYMENTS = """
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, product_id, original_currency,
                                original_amount, rate, rate_day, amount, currency, qualifies, occurred_at)
SELECT %(batch)s, %(source)s, event_id, customer_id, type, product_id, currency, amount, coalesce(rate, 1), rate_day,
       round(amount * coalesce(rate, 1), 2), 'USD', qualifies, occurred_at
FROM judged_spend WHERE verdict = 'accepted' ORDER BY event_id
ON CONFLICT (source, event_id) DO NOTHING
"""

INSERT_REVERSALS = """
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, payment_id, original_currency,
                                original_amount, rate, rate_day, amount, currency, qualifies, occurred_at)
SELECT %(batch)s, %(source)s, wanted.event_id, payment.customer_id, wanted.type, payment.id, payment.original_currency,
       wanted.amount, payment.rate, payment.rate_day, round(wanted.amount * payment.rate, 2), 'USD', payment.qualifies,
       wanted.occurred_at
FROM unnest(%(ids)s::text[], %(payments)s::text[], %(types)s::text[], %(amounts)s::numeric[], %(times)s::timestamptz[])
    AS wanted (event_id, payment_id, type, amount, occurred_at)
CROSS JOIN LATERAL (
    SELECT * FROM billing_spendevent WHERE source = %(source)s AND event_id = wanted.payment_id OFFSET 0
) AS payment
ORDER BY wanted.event_id COLLATE "C"
ON CONFLICT (source, event_id) DO NOTHING
"""

STOP_WAITING = "DELETE FROM billing_waitingreversal WHERE id = ANY(%(ids)s)"

GIVE_UP = "DELETE FROM billing_waitingreversal WHERE id = ANY(%(ids)s) RETURNING id, run_id, line, fact"

KEEP_WAITING = """
INSERT INTO billing_waitingreversal (batch_id, run_id, line, source, event_id, payment_event_id, customer_id, type,
                                     original_currency, original_amount, occurred_at, fact)
SELECT %(batch)s, %(run)s, line, %(source)s, event_id, payment_id, customer_id, judged.type, judged.currency,
       judged.amount, judged.occurred_at, to_jsonb(raw) - 'line'
FROM judged_spend AS judged JOIN incoming_spend AS raw USING (line, event_id, payment_id)
WHERE line = ANY(%(places)s) ORDER BY line
"""
