"""Short words for what is mailed: who can be told, what lies in the outbox, and what their readers see."""

from __future__ import annotations

import email
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email import policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from allauth.account.models import EmailAddress
from django.core import mail

from accounts.models import OutboxMessage, User
from accounts.operations import deliver
from tests.pages import words


def reachable(user: User, **fields: Any) -> User:
    """Let a registered customer have a confirmed address, and have what is given besides."""
    EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})
    for name, value in fields.items():
        setattr(user, name, value)
    user.save(update_fields=list(fields))
    return user


def kinds(of: User | None = None) -> list[str]:
    """The kinds of the mails in the outbox, in order."""
    messages = OutboxMessage.objects.order_by("pk")
    return list((messages.filter(customer=of) if of else messages).values_list("kind", flat=True))


def delivered(now: datetime) -> list[Any]:
    """Deliver what is due and return the mails, in order."""
    before = len(mail.outbox)
    deliver(now=now)
    return list(mail.outbox[before:])


def text_of(letter: Any) -> str:
    """What a mail says in its text, without its line breaks."""
    return " ".join(str(letter.body).split())


def markup_of(letter: Any) -> str:
    """The HTML of a mail."""
    ((html, kind),) = [(part[0], part[1]) for part in letter.alternatives]
    assert kind == "text/html"
    return str(html)


def html_of(letter: Any) -> str:
    """What a mail says in its HTML."""
    return words(markup_of(letter).partition("</head>")[2])


class Postbox:
    """A mail server that keeps what it is given, and does as it is told."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refused: set[str] = set()
        """Addresses that it does not take."""

    async def handle_RCPT(  # noqa: N802  # the server's word
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return f"550 5.1.1 <{address}> unknown"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append(email.message_from_bytes(content, policy=policy.default))
        return "250 OK"

    @property
    def to(self) -> list[str]:
        return [str(letter["To"]) for letter in self.letters]

    @property
    def ids(self) -> list[str]:
        return [str(letter["Message-ID"]) for letter in self.letters]


@contextmanager
def mail_server(postbox: Postbox, port: int) -> Iterator[Postbox]:
    """A real mail server on this machine."""
    server = Controller(postbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield postbox
    finally:
        server.stop()
