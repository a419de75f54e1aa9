"""Mails to send, written in the transaction of what they tell of (DESIGN: OutboxMessage)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from accounts.models import OutboxMessage


@dataclass(frozen=True)
class Message:
    """A mail to write: `kind` names its templates, `key` lets it be written once, `facts` are what it says (JSON)."""

    key: str
    kind: str
    customer_id: int | None = None
    recipient: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


def write_messages(*, messages: Sequence[Message], now: datetime) -> None:
    """Put mails into the outbox, due now; what was written before under its key stays as it is.

    For the transaction that brings about what the mails tell of: they go out if and only if it commits.
    """
    OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                key=one.key,
                kind=one.kind,
                customer_id=one.customer_id,
                recipient=one.recipient,
                facts=dict(one.facts),
                created_at=now,
                due_at=now,
            )
            for one in messages
        ],
        ignore_conflicts=True,
    )
