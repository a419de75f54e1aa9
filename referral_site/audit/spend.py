"""The books of spend: events, what waits, and the batches and files that they came in (TERMS: What counts as spend)."""

from referral_site.audit.invariant import Invariant

INVARIANTS = (
    Invariant(
        "net_is_within_the_payment",
        "What is left of a payment is never below zero nor above its amount.",
        """
        WITH reversals AS (
            SELECT payment_id,
                   sum(CASE type WHEN 'chargeback_reversal' THEN -original_amount ELSE original_amount END) AS taken
            FROM billing_spendevent WHERE payment_id IS NOT NULL GROUP BY payment_id
        )
        SELECT payment.id AS payment, payment.original_amount, payment.original_amount - reversals.taken AS net
        FROM reversals JOIN billing_spendevent AS payment ON payment.id = reversals.payment_id
        WHERE reversals.taken < 0 OR reversals.taken > payment.original_amount
        """,
    ),
    Invariant(
        "disputes_won_are_within_the_chargebacks",
        "What came back in won disputes of a payment is at most what was charged back.",
        """
        SELECT payment_id AS payment,
               sum(original_amount) FILTER (WHERE type = 'chargeback') AS charged_back,
               sum(original_amount) FILTER (WHERE type = 'chargeback_reversal') AS won
        FROM billing_spendevent WHERE type IN ('chargeback', 'chargeback_reversal')
        GROUP BY payment_id
        HAVING coalesce(sum(original_amount) FILTER (WHERE type = 'chargeback_reversal'), 0)
             > coalesce(sum(original_amount) FILTER (WHERE type = 'chargeback'), 0)
        """,
    ),
    Invariant(
        "reversal_is_its_payments",
        "A reversal names a payment of the same source, and has its account, currency, rate and whether it qualifies.",
        """
        SELECT reversal.id AS reversal, payment.id AS payment, payment.type,
               reversal.source, payment.source AS source_of_payment,
               reversal.customer_id AS customer, payment.customer_id AS customer_of_payment,
               reversal.original_currency, payment.original_currency AS currency_of_payment,
               reversal.qualifies, payment.qualifies AS payment_qualifies
        FROM billing_spendevent AS reversal JOIN billing_spendevent AS payment ON payment.id = reversal.payment_id
        WHERE (payment.type, reversal.source, reversal.customer_id, reversal.original_currency, reversal.rate,
               reversal.rate_day, reversal.qualifies) IS DISTINCT FROM
              ('payment', payment.source, payment.customer_id, payment.original_currency, payment.rate,
               payment.rate_day, payment.qualifies)
        """,
    ),
    Invariant(
        "event_is_worth_its_rate",
        "An event's dollars are its own amount at its rate, half up; dollars need no rate.",
        """
        SELECT id AS event, original_currency, original_amount, rate, amount
        FROM billing_spendevent
        WHERE amount <> round(original_amount * rate, 2) OR (original_currency = 'USD' AND rate <> 1)
        """,
    ),
    Invariant(
        "rate_is_of_the_last_banking_day",
        "A payment in another currency has the rate of a day at or before it, at most seven days older.",
        """
        SELECT id AS payment, original_currency, rate_day, occurred_at
        FROM billing_spendevent
        WHERE type = 'payment' AND original_currency <> 'USD'
          AND ((occurred_at AT TIME ZONE 'UTC')::date - rate_day NOT BETWEEN 0 AND 7) IS NOT FALSE
        """,
    ),
    Invariant(
        "event_has_the_form_of_a_fact",
        "An event, and a reversal that waits for its payment, has ids and a currency that a fact may have.",
        """
        SELECT 'event' AS what, id, event_id, NULL AS payment_event_id, original_currency
        FROM billing_spendevent WHERE NOT is_id(event_id) OR original_currency !~ '^[A-Z]{3}$'
        UNION ALL
        SELECT 'waiting', id, event_id, payment_event_id, original_currency
        FROM billing_waitingreversal
        WHERE NOT (is_id(event_id) AND is_id(payment_event_id)) OR original_currency !~ '^[A-Z]{3}$'
        """,
    ),
    Invariant(
        "payment_is_not_before_registration",
        "A payment is of a registered account, at or after its registration.",
        """
        SELECT event.id AS payment, event.occurred_at, customer.registered_at
        FROM billing_spendevent AS event JOIN accounts_user AS customer ON customer.id = event.customer_id
        WHERE event.type = 'payment'
          AND (customer.registered_at IS NULL OR event.occurred_at < customer.registered_at)
        """,
    ),
    Invariant(
        "event_does_not_wait_and_count",
        "A reversal that waits is not recorded.",
        """
        SELECT waiting.id AS waiting, event.id AS event, event.source, event.event_id
        FROM billing_waitingreversal AS waiting JOIN billing_spendevent AS event USING (source, event_id)
        """,
    ),
    Invariant(
        "waiting_reversal_has_to_wait",
        "A reversal waits only for an unknown payment, or for a chargeback as large as the dispute that was won.",
        """
        WITH awaited AS (
            SELECT waiting.id, waiting.type, waiting.original_amount, payment.id AS payment_id
            FROM billing_waitingreversal AS waiting JOIN billing_spendevent AS payment
                ON payment.source = waiting.source AND payment.event_id = waiting.payment_event_id
                AND payment.type = 'payment'
        ), disputed AS (
            SELECT payment_id, sum(CASE type WHEN 'chargeback' THEN original_amount ELSE -original_amount END) AS amount
            FROM billing_spendevent
            WHERE type IN ('chargeback', 'chargeback_reversal') AND payment_id IN (SELECT payment_id FROM awaited)
            GROUP BY payment_id
        )
        SELECT awaited.id AS waiting, awaited.type, awaited.original_amount, payment_id AS payment,
               disputed.amount AS disputed
        FROM awaited LEFT JOIN disputed USING (payment_id)
        WHERE awaited.type <> 'chargeback_reversal' OR awaited.original_amount <= coalesce(disputed.amount, 0)
        """,
    ),
    Invariant(
        "batch_holds_what_it_accepted",
        "A batch holds at least the events that it accepted as they came, and no more waiting ones than it counted.",
        """
        WITH recorded AS (SELECT batch_id, count(*) AS events FROM billing_spendevent GROUP BY batch_id),
        still AS (SELECT batch_id, count(*) AS waiting FROM billing_waitingreversal GROUP BY batch_id)
        SELECT batch.id AS batch, batch.accepted, recorded.events, batch.waiting, still.waiting AS still_waiting
        FROM billing_spendbatch AS batch
        LEFT JOIN recorded ON recorded.batch_id = batch.id LEFT JOIN still ON still.batch_id = batch.id
        WHERE batch.accepted > coalesce(recorded.events, 0) OR batch.waiting < coalesce(still.waiting, 0)
        """,
    ),
    Invariant(
        "batch_is_applied_within_a_day",
        "What a batch brought has reached its friends' referrals a day after it came, at the latest.",
        """
        SELECT id AS batch, source, received_at
        FROM billing_spendbatch WHERE applied_at IS NULL AND received_at < %(now)s - interval '24 hours'
        """,
    ),
    Invariant(
        "import_counts_what_it_refused",
        "A reading of a file counts each fact that it refused, and no more facts than the lines that it has read.",
        """
        WITH kept AS (
            SELECT run_id, count(*) AS refused, count(line) AS of_its_own, max(line) AS furthest
            FROM accounts_refusedfact GROUP BY run_id
        )
        SELECT run.id AS run, run.lines_done, run.accepted, run.waiting, run.duplicate, run.refused,
               kept.refused AS refused_facts, kept.furthest
        FROM accounts_importrun AS run LEFT JOIN kept ON kept.run_id = run.id
        WHERE run.refused <> coalesce(kept.refused, 0) OR kept.furthest > run.lines_done
           OR run.accepted + run.waiting + run.duplicate + coalesce(kept.of_its_own, 0) > run.lines_done
        """,
    ),
    Invariant(
        "import_counts_what_waits",
        "A reading of a file counts each of its reversals that waits.",
        """
        SELECT run.id AS run, run.waiting, count(*) AS still_waiting
        FROM billing_waitingreversal AS waiting JOIN accounts_importrun AS run ON run.id = waiting.run_id
        GROUP BY run.id HAVING count(*) > run.waiting
        """,
    ),
)
