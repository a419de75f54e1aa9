"""Delivery of the outbox: each mail in a transaction of its own, sent and marked as sent, or kept for later.

A mail is sent twice only where the process or the database goes down between the mail server's word and the commit;
both copies then have one Message-ID.
"""

from __future__ import annotations

import hashlib
import logging
import smtplib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from enum import Enum
from functools import partial
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F, Q

from accounts.letters import Friend, Letter, UnableToCompose, compose, friends_in
from accounts.mail_kinds import EMPTIED_WHEN_SENT, FAREWELLS, SWITCHES
from accounts.models import IdentityVerification, OutboxMessage, User
from accounts.operations.outbox.writing import Message, write_messages
from accounts.retries import retried

CHUNK = 50
"""Mails to one connection: servers end those that take too many."""

LONGEST_WAIT = timedelta(hours=6)

THE_MAILS_OWN = (
    smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPNotSupportedError, UnableToCompose, ValueError,
)  # fmt: skip
"""What is wrong with one mail; ValueError where an address cannot be written as a header. Any other fault is the mail
server's, and the next mail would meet it too."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    """What a delivery did; `failed` are kept, and tried again later."""

    sent: int = 0
    dropped: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"sent={self.sent} dropped={self.dropped} failed={self.failed}"


class Outcome(Enum):
    SENT = "sent"
    DROPPED = "dropped"
    FAILED = "failed"
    NO_SERVER = "no server"
    ELSEWHERE = "elsewhere"
    """Somebody else is sending it this moment, or has."""


def deliver(*, now: datetime, keys: Collection[str] | None = None) -> Delivered:
    """Send what is due, or of that only what has these keys, and return what became of it.

    One transaction a mail, and a mail is locked while it is sent: any number of workers share the outbox. Where the
    mail server does not answer the rest waits for the next call.
    """
    outcomes: list[Outcome] = []
    last: tuple[datetime, int] | None = None
    while (chunk := _due(now, after=last, keys=keys)) and Outcome.NO_SERVER not in outcomes:
        outcomes += _deliver_chunk([pk for _, pk in chunk], now)
        last = chunk[-1]
    failed = outcomes.count(Outcome.FAILED) + outcomes.count(Outcome.NO_SERVER)
    return Delivered(outcomes.count(Outcome.SENT), outcomes.count(Outcome.DROPPED), failed)


def post(*, message: Message, now: datetime) -> None:
    """Put a mail into the outbox that its reader waits for, and send it from here as soon as it has committed.

    If that does not go well it is sent like any other.
    """
    write_messages(messages=[message], now=now, hint=False)
    transaction.on_commit(partial(deliver, now=now, keys=[message.key]), robust=True)


def _due(
    now: datetime, *, after: tuple[datetime, int] | None, keys: Collection[str] | None
) -> Sequence[tuple[datetime, int]]:
    due = OutboxMessage.objects.to_send(now).order_by("due_at", "pk")
    if keys is not None:
        due = due.filter(key__in=keys)
    if after is not None:
        due = due.filter(Q(due_at__gt=after[0]) | Q(due_at=after[0], pk__gt=after[1]))
    return list(due.values_list("due_at", "pk")[:CHUNK])


def _deliver_chunk(message_ids: Sequence[int], now: datetime) -> list[Outcome]:
    outcomes: list[Outcome] = []
    server = get_connection()
    try:
        for pk in message_ids:
            outcomes.append(_deliver_one(pk, server, now))
            if outcomes[-1] is Outcome.NO_SERVER:
                break
    finally:
        with suppress(smtplib.SMTPException, OSError):
            server.close()
    return outcomes


@retried
@transaction.atomic
def _deliver_one(message_id: int, server: BaseEmailBackend, now: datetime) -> Outcome:
    due = OutboxMessage.objects.to_send(now).filter(pk=message_id)
    # Another worker holds what it sends until it has marked it: left out here, and no longer due after that.
    message = due.select_related("customer").select_for_update(skip_locked=True, of=("self",)).first()
    if message is None:
        return Outcome.ELSEWHERE
    recipient = message.recipient or _address_of(message)
    if not recipient:
        OutboxMessage.objects.filter(pk=message_id).update(dropped_at=now, facts={})
        return Outcome.DROPPED
    try:
        # Marked first: whatever the database may have against it comes before the mail is out.
        with transaction.atomic():
            emptied: dict[str, Any] = {"facts": {}} if message.kind in EMPTIED_WHEN_SENT else {}
            OutboxMessage.objects.filter(pk=message_id).update(sent_at=now, error="", **emptied)
            _send(_composed(message, now), recipient, message.key, server)
    except (*THE_MAILS_OWN, smtplib.SMTPException, OSError) as fault:
        _keep_for_later(message, fault, now)
        return Outcome.FAILED if isinstance(fault, THE_MAILS_OWN) else Outcome.NO_SERVER
    return Outcome.SENT


def _address_of(message: OutboxMessage) -> str:
    """The confirmed address of a customer who is here and wants such mails; empty where there is none."""
    customer = message.customer
    switch = SWITCHES.get(message.kind)
    if customer is None or (switch and not getattr(customer, switch)):
        return ""
    if not User.objects.get_queryset().told_by_mail(though_closed=message.kind in FAREWELLS).filter(pk=customer.pk):
        return ""
    confirmed = EmailAddress.objects.filter(user=customer, email=customer.email, verified=True)
    return customer.email if confirmed.exists() else ""


def _composed(message: OutboxMessage, now: datetime) -> Letter:
    wanted = set(friends_in(message.facts))
    found = User.objects.filter(pk__in=wanted) if wanted else User.objects.none()
    friends = {
        one.pk: Friend(one.registered_at, one.public_first_name, is_gone=one.closed_at is not None)
        for one in found
        if one.registered_at
    }
    facts = _verification_of(message) | message.facts if message.kind == "verification_decided" else message.facts
    return compose(kind=message.kind, facts=facts, reader=message.customer, friends=friends, now=now)


def _verification_of(message: OutboxMessage) -> dict[str, Any]:
    """How verification stands: what the mail says where its facts do not say it."""
    found = IdentityVerification.objects.filter(customer=message.customer).first()
    if found is None:
        return {"outcome": "", "reason": "", "is_eligible": False}
    return {"outcome": found.state, "reason": found.refusal_reason, "is_eligible": found.is_eligible}


def _send(letter: Letter, recipient: str, key: str, server: BaseEmailBackend) -> None:
    headers = {"Message-ID": message_id(key), "Auto-Submitted": "auto-generated"}
    mail = EmailMultiAlternatives(letter.subject, letter.text, None, [recipient], headers=headers)
    mail.attach_alternative(letter.html, "text/html")
    server.open()
    server.send_messages([mail])


def message_id(key: str) -> str:
    """The same for every try of one mail, by which servers and readers know it again."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def _keep_for_later(message: OutboxMessage, fault: Exception, now: datetime) -> None:
    """Try again after a minute, then two, four and so on.

    The server's own words may hold an address: its code is kept.
    """
    wait = min(timedelta(minutes=2 ** min(message.attempts, 10)), LONGEST_WAIT)
    error = _name_of(fault)
    OutboxMessage.objects.filter(pk=message.pk).update(attempts=F("attempts") + 1, error=error, due_at=now + wait)
    logger.warning("A mail (%s) waits: %s", message.kind, error)


def _name_of(fault: Exception) -> str:
    codes: set[int] = set()
    if isinstance(fault, smtplib.SMTPRecipientsRefused):
        codes = {answer[0] for answer in fault.recipients.values()}
    elif isinstance(fault, smtplib.SMTPResponseException):
        codes = {fault.smtp_code}
    return " ".join([type(fault).__name__, *map(str, sorted(codes))])
