"""Mails: written in the transaction of what they tell of, delivered after it (DESIGN: OutboxMessage)."""

from accounts.operations.outbox.delivery import Delivered, deliver, post
from accounts.operations.outbox.retention import empty_outbox
from accounts.operations.outbox.writing import NEWS, REACHABLE, Message, whom_to_tell, write_messages

__all__ = [
    "NEWS",
    "REACHABLE",
    "Delivered",
    "Message",
    "deliver",
    "empty_outbox",
    "post",
    "whom_to_tell",
    "write_messages",
]
