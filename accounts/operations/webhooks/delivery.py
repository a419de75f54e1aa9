"""Delivery of webhooks: claimed for a while, posted outside any transaction, and what came of it recorded.

To one endpoint, the events of one stream go one after the other: none is sent before those with lower numbers have been
taken or given up. A message comes twice where its answer is lost, or the process between the answer and its record;
both have one `webhook-id`.
"""

from __future__ import annotations

import json
import logging
import secrets
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import F

from accounts.models import WebhookAttempt, WebhookDelivery, WebhookEvent
from accounts.operations.webhooks.endpoints import UnableToHook, secrets_of, switch_endpoint_off
from accounts.operations.webhooks.numbering import KEEPS_TRYING, number_webhooks
from accounts.retries import retried
from accounts.webhook_posting import Answer, Message, post

LEASE = timedelta(minutes=5)
"""Far more than a message can take. Whoever has not recorded an answer by then is taken for dead."""

A_RUN = 40.0
"""Seconds in which a run claims messages: with those that it waits for at the end it is over when beat sends the next,
and keeps no more than one process of a worker's pool from the sweeps."""

OF_AN_ENDPOINT = 4
"""Messages on their way to one endpoint at a time, each of another stream: a slow one keeps no thread from others."""

MOST_THREADS = 64

MOST_SILENCE = 3
"""Messages in a row that nobody answered; the endpoint is then left alone for the rest of the run."""

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)

ENDPOINTS_DUE = """
SELECT id FROM accounts_webhookendpoint AS endpoint
WHERE switched_off_at IS NULL AND EXISTS (
    SELECT FROM accounts_webhookdelivery WHERE endpoint_id = endpoint.id AND state = 'pending' AND due_at <= %(now)s)
ORDER BY id
"""

# What another worker has locked it has claimed. A delivery whose turn has not come waits, whoever holds the one before
# it; what is sent again by hand neither waits nor is waited for.
CLAIM = """
WITH due AS (
    SELECT delivery.id FROM accounts_webhookdelivery AS delivery
    JOIN accounts_webhookevent AS event ON event.id = delivery.event_id
    WHERE delivery.endpoint_id = %(endpoint)s AND delivery.state = 'pending' AND delivery.due_at <= %(now)s
        AND EXISTS (SELECT FROM accounts_webhookendpoint WHERE id = %(endpoint)s AND switched_off_at IS NULL)
        AND (delivery.is_resent OR NOT EXISTS (
            SELECT FROM accounts_webhookevent AS earlier
            JOIN accounts_webhookdelivery AS ahead ON ahead.event_id = earlier.id
            WHERE earlier.stream = event.stream AND earlier.sequence < event.sequence
                AND ahead.endpoint_id = %(endpoint)s AND ahead.state = 'pending' AND NOT ahead.is_resent))
    ORDER BY delivery.due_at, delivery.id LIMIT %(most)s
    FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE accounts_webhookdelivery AS delivery SET due_at = %(lease_ends_at)s, lease = %(lease)s
FROM due WHERE delivery.id = due.id
RETURNING delivery.id
"""

REASONS = {
    "unknown": "There is no such delivery.",
    "off": "The endpoint is off.",
    "forgotten": "It is forgotten what this event said.",
    "pending": "It is on its way still.",
}

logger = logging.getLogger(__name__)


class UnableToResend(Exception):
    """A delivery that cannot be made again; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


@dataclass
class Told:
    """What a run did; `failed` are kept, and tried again later."""

    numbered: int = 0
    delivered: int = 0
    failed: int = 0
    given_up: int = 0

    def __str__(self) -> str:
        return " ".join(f"{name}={getattr(self, name)}" for name in self.__dataclass_fields__)


class Claimed(NamedTuple):
    """A delivery in hand, until its lease ends."""

    delivery_id: int
    endpoint_id: int
    lease: str
    message: Message


@dataclass
class _Run:
    """What is on its way, of which endpoint, and who is left alone."""

    now: datetime
    until: float
    told: Told
    on_its_way: dict[Future[Answer], Claimed] = field(default_factory=dict)
    silences: Counter[int] = field(default_factory=Counter)

    def room_for(self, endpoint_id: int) -> int:
        if monotonic() >= self.until or self.silences[endpoint_id] >= MOST_SILENCE:
            return 0
        return OF_AN_ENDPOINT - sum(one.endpoint_id == endpoint_id for one in self.on_its_way.values())


def deliver_webhooks(*, now: datetime, seconds: float = A_RUN) -> Told:
    """Number what has committed, then send what is due for so many seconds, and return what became of it.

    Any number of workers share the work: each claims what it sends. Endpoints are served side by side, so that a slow
    or silent one holds up no other. No transaction is open while a message is on its way.
    """
    run = _Run(now, monotonic() + seconds, Told(numbered=number_webhooks(now=now)))
    endpoints = _endpoints_due(now)
    if endpoints:
        with ThreadPoolExecutor(min(MOST_THREADS, OF_AN_ENDPOINT * len(endpoints))) as threads:
            _send(run, endpoints, threads)
    return run.told


def _send(run: _Run, endpoints: Sequence[int], threads: ThreadPoolExecutor) -> None:
    free = set(endpoints)
    while free or run.on_its_way:
        for endpoint_id in sorted(free):
            for one in claim_webhooks(endpoint_id=endpoint_id, most=run.room_for(endpoint_id), now=run.now):
                run.on_its_way[threads.submit(post, one.message)] = one
        free = set()
        done, _ = wait(run.on_its_way, return_when=FIRST_COMPLETED)
        for future in done:
            one = run.on_its_way.pop(future)
            _note(run, one, future.result())
            free.add(one.endpoint_id)


def _note(run: _Run, one: Claimed, answer: Answer) -> None:
    run.silences[one.endpoint_id] = run.silences[one.endpoint_id] + 1 if answer.is_silence else 0
    match record_answer(claimed=one, answer=answer, now=run.now):
        case WebhookDelivery.State.DELIVERED:
            run.told.delivered += 1
        case WebhookDelivery.State.GIVEN_UP:
            run.told.given_up += 1
        case _:
            run.told.failed += 1


def claim_webhooks(*, endpoint_id: int, most: int, now: datetime) -> list[Claimed]:
    """Take at most so many of an endpoint's deliveries in hand, and return what to post; nobody else sends these until
    LEASE is over.

    Locks the deliveries, leaving out those that another worker has locked.
    """
    if most < 1:
        return []
    lease = secrets.token_hex(16)
    claimed = _claim(endpoint_id, most, lease, now)
    try:
        signed_with = secrets_of(endpoint_id=endpoint_id, now=now) if claimed else []
    except UnableToHook as refusal:
        logger.error("Webhooks wait at endpoint %s: %s", endpoint_id, refusal)
        return []
    found = WebhookDelivery.objects.select_related("event", "endpoint").filter(pk__in=claimed).order_by("due_at", "pk")
    return [
        Claimed(
            one.pk, endpoint_id, lease, Message(one.endpoint.url, one.event.message_id, body_of(one.event), signed_with)
        )
        for one in found
    ]


def _message(delivery: WebhookDelivery, signed_with: Sequence[str]) -> Message:
    event = delivery.event
    return Message(delivery.endpoint.url, event.message_id, body_of(event), signed_with)


@retried
@transaction.atomic
def _claim(endpoint_id: int, most: int, lease: str, now: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {"endpoint": endpoint_id, "most": most, "lease": lease, "now": now, "lease_ends_at": now + LEASE},
        )
        return [row[0] for row in cursor.fetchall()]


@retried
@transaction.atomic
def record_answer(*, claimed: Claimed, answer: Answer, now: datetime) -> str:
    """Write an attempt to the log, and move its delivery on; return the state that it has come to.

    Taken: delivered. 410 Gone: given up, and the endpoint is switched off. Anything else: tried again after a minute,
    two, four and so on up to six hours, until three days are over. Whose lease was lost meanwhile to another worker
    only writes the log.
    """
    WebhookAttempt.objects.create(
        delivery_id=claimed.delivery_id,
        at=now,
        status=answer.status,
        error=answer.error[:60],
        milliseconds=answer.milliseconds,
    )
    held = WebhookDelivery.objects.filter(
        pk=claimed.delivery_id, lease=claimed.lease, state=WebhookDelivery.State.PENDING
    )
    delivery = held.select_for_update(no_key=True, of=("self",)).first()
    if delivery is None:
        return WebhookDelivery.objects.get(pk=claimed.delivery_id).state
    state, due_at = _what_next(delivery, answer, now)
    is_over = state != WebhookDelivery.State.PENDING
    held.update(
        state=state,
        due_at=due_at,
        lease="",
        attempts=F("attempts") + 1,
        last_status=answer.status,
        error=answer.error[:60],
        sent_at=now if answer.is_taken else delivery.sent_at,
        ended_at=now if is_over else None,
    )
    if answer.is_gone:
        switch_endpoint_off(endpoint_id=claimed.endpoint_id, reason="gone", now=now)
    return state


def _what_next(delivery: WebhookDelivery, answer: Answer, now: datetime) -> tuple[str, datetime]:
    if answer.is_taken:
        return WebhookDelivery.State.DELIVERED, now
    due_at = now + max(
        wait_after(delivery.pk, delivery.attempts), min(timedelta(seconds=answer.retry_after), LONGEST_WAIT)
    )
    if answer.is_gone or due_at > delivery.give_up_at:
        return WebhookDelivery.State.GIVEN_UP, now
    return WebhookDelivery.State.PENDING, due_at


def wait_after(delivery_id: int, attempts: int) -> timedelta:
    """How long to wait after so many attempts before this one: a minute, doubled each time up to six hours, and by up
    to a fifth more or less, each delivery by its own, so that what failed together does not come back together.
    """
    whole: timedelta = min(FIRST_WAIT * 2 ** min(attempts, 20), LONGEST_WAIT)
    chance: float = zlib.crc32(f"{delivery_id}:{attempts}".encode()) / 2**32
    return whole * (0.8 + 0.4 * chance)


@retried
@transaction.atomic
def resend_webhook(*, delivery_id: int, now: datetime) -> None:
    """Send an event to an endpoint again, under the same `webhook-id`, for another three days at most. It waits for no
    other event, and none waits for it.

    Raises UnableToResend: unknown, off, forgotten, pending.
    """
    delivery = WebhookDelivery.objects.select_related("event", "endpoint").filter(pk=delivery_id).first()
    if delivery is None:
        raise UnableToResend("unknown")
    if delivery.endpoint.switched_off_at is not None:
        raise UnableToResend("off")
    if not delivery.event.payload:
        raise UnableToResend("forgotten")
    ended = WebhookDelivery.objects.filter(pk=delivery_id, ended_at__isnull=False)
    again = ended.update(
        state=WebhookDelivery.State.PENDING,
        due_at=now,
        give_up_at=now + KEEPS_TRYING,
        attempts=0,
        is_resent=True,
        ended_at=None,
    )
    if not again:
        raise UnableToResend("pending")


def body_of(event: WebhookEvent) -> str:
    """Return what is posted: the same text each time, since the signature is of its bytes."""
    return json.dumps(
        {
            "type": event.type,
            "timestamp": event.created_at.astimezone(UTC).isoformat(),
            "sequence": event.sequence,
            "data": event.payload,
        },
        separators=(",", ":"),
    )


def _endpoints_due(now: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(ENDPOINTS_DUE, {"now": now})
        return [row[0] for row in cursor.fetchall()]
