"""The books of webhooks: what there was to tell, its numbers, and whether it was told."""

from referral_site.audit.invariant import Invariant

INVARIANTS = (
    Invariant(
        "webhook_numbers_have_no_gap",
        "The events of a stream are numbered 1, 2, 3 without a gap.",
        """
        SELECT stream, count(*) AS events, min(sequence) AS first, max(sequence) AS last
        FROM accounts_webhookevent WHERE sequence IS NOT NULL
        GROUP BY stream HAVING min(sequence) <> 1 OR max(sequence) <> count(*)
        """,
    ),
    Invariant(
        "webhook_event_is_numbered_within_a_day",
        "An event has its number a day after it was written, at the latest.",
        """
        SELECT id AS event, key, created_at
        FROM accounts_webhookevent WHERE sequence IS NULL AND created_at < %(now)s - interval '24 hours'
        """,
    ),
    Invariant(
        "webhook_delivery_is_tried_within_a_day",
        "What is due to an endpoint that is on, and waits for no other event, is tried within a day.",
        """
        WITH waiting AS (
            SELECT delivery.id, endpoint_id, due_at, is_resent, sequence,
                   min(sequence) FILTER (WHERE NOT is_resent) OVER (PARTITION BY endpoint_id, stream) AS first
            FROM accounts_webhookdelivery AS delivery JOIN accounts_webhookevent AS event ON event.id = event_id
            WHERE state = 'pending'
        )
        SELECT waiting.id AS delivery, endpoint_id AS endpoint, due_at
        FROM waiting JOIN accounts_webhookendpoint AS endpoint ON endpoint.id = endpoint_id
        WHERE switched_off_at IS NULL AND due_at < %(now)s - interval '24 hours' AND (is_resent OR sequence = first)
        """,
    ),
    Invariant(
        "delivered_webhook_was_taken",
        "What counts as delivered has an attempt that was answered with a status of success.",
        """
        WITH taken AS (
            SELECT DISTINCT delivery_id FROM accounts_webhookattempt WHERE status BETWEEN 200 AND 299
        )
        SELECT delivery.id AS delivery, state, last_status
        FROM accounts_webhookdelivery AS delivery LEFT JOIN taken ON taken.delivery_id = delivery.id
        WHERE state = 'delivered' AND taken.delivery_id IS NULL
        """,
    ),
    Invariant(
        "webhook_endpoint_has_its_secret",
        "Each endpoint has a current secret, which signs what it is sent.",
        """
        SELECT endpoint.id AS endpoint, url
        FROM accounts_webhookendpoint AS endpoint
        LEFT JOIN accounts_webhooksecret AS secret ON secret.endpoint_id = endpoint.id AND ends_at IS NULL
        WHERE secret.id IS NULL
        """,
    ),
)
