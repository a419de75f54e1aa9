"""Events get their numbers once they have committed: one step after the other, so that no number is missing."""

from datetime import datetime, timedelta

from django.db import connection, transaction

from accounts.retries import retried

CHUNK = 5000

KEEPS_TRYING = timedelta(days=3)

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(20260103, 0)"

# Whatever is not numbered yet, and not what is above the last number: transactions commit out of order. LATERAL …
# OFFSET 0 keeps each look-up to its index.
NUMBER = """
WITH fresh AS (
    SELECT id, stream FROM accounts_webhookevent WHERE sequence IS NULL ORDER BY id LIMIT %(most)s
), placed AS (
    SELECT fresh.id, coalesce(so_far.last, 0) + row_number() OVER (PARTITION BY stream ORDER BY fresh.id) AS sequence
    FROM fresh CROSS JOIN LATERAL (
        SELECT max(sequence) FROM accounts_webhookevent WHERE stream = fresh.stream OFFSET 0
    ) AS so_far (last)
), numbered AS (
    UPDATE accounts_webhookevent AS event SET sequence = placed.sequence
    FROM placed WHERE event.id = placed.id
    RETURNING event.id, event.type, event.only_for_id
), delivery AS (
    INSERT INTO accounts_webhookdelivery
        (event_id, endpoint_id, state, created_at, due_at, give_up_at, attempts, lease, is_resent, error)
    SELECT numbered.id, endpoint.id, 'pending', %(now)s, %(now)s, %(give_up_at)s, 0, '', false, ''
    FROM numbered JOIN accounts_webhookendpoint AS endpoint ON
        endpoint.id = only_for_id
        OR (only_for_id IS NULL AND switched_off_at IS NULL AND endpoint.events ? numbered.type)
    ORDER BY numbered.id, endpoint.id
)
SELECT count(*) FROM numbered
"""


def number_webhooks(*, now: datetime) -> int:
    """Number the events that have committed, each within its stream, and put a delivery of each to every endpoint that
    is on and wants it; return how many.

    In chunks of one transaction each, under an advisory lock: two steps at once would give one number twice.
    """
    numbered = 0
    while done := _number_chunk(now):
        numbered += done
    return numbered


@retried
@transaction.atomic
def _number_chunk(now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(ONE_AT_A_TIME)
        # A new statement: it sees what the step before this one has numbered.
        cursor.execute(NUMBER, {"now": now, "give_up_at": now + KEEPS_TRYING, "most": CHUNK})
        return int(cursor.fetchone()[0])
