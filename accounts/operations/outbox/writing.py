"""Mails to send, written in the transaction of what they tell of (DESIGN: OutboxMessage)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction

from accounts.arrays import bigints
from accounts.models import OutboxMessage
from accounts.retries import retried
from accounts.signals import messages_written

NEWS = timedelta(days=7)
"""What took effect longer ago is history, and is not mailed: imports of old facts, a settlement as of last year."""

# Who can be told of anything: a customer who is here still, whose address is confirmed, and who has an account here and
# not only with the billing system, whose imports count as confirmed.
REACHABLE = """
customer.closed_at IS NULL AND customer.is_active
AND (customer.last_login IS NOT NULL OR NOT customer.signup_attribution ? 'fact')
AND EXISTS (SELECT FROM account_emailaddress WHERE user_id = customer.id AND verified)
"""

# LATERAL … OFFSET 0 keeps each look-up to its index, whatever the statistics say.
WHOM_TO_TELL = f"""
SELECT wanted.id
FROM unnest(%(customers)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT FROM accounts_user AS customer WHERE customer.id = wanted.id AND {REACHABLE} OFFSET 0
) AS reachable
"""  # noqa: S608  # constants of the code


@dataclass(frozen=True)
class Message:
    """A mail to write: `kind` names its template, `key` lets it be written once, `facts` are what it says (JSON).

    In the facts, names ending in `_amount` are dollars as text, in `_at` instants (ISO 8601), and `friend_id` is a
    customer of whom the reader learns the month of joining and no more (accounts.letters).
    """

    key: str
    kind: str
    customer_id: int | None = None
    recipient: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@retried
def write_messages(*, messages: Sequence[Message], now: datetime, hint: bool = True) -> None:
    """Put mails into the outbox, due now; what was written before under its key stays as it is.

    For the transaction that brings about what the mails tell of: they go out if and only if it commits. With `hint` a
    worker is told after the commit; without, beat finds them within a minute.
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
    if hint:
        transaction.on_commit(_hint, robust=True)


def whom_to_tell(*, customer_ids: Iterable[int]) -> list[int]:
    """Return which of these customers can be told of anything by mail. One look-up by index each."""
    with connection.cursor() as cursor:
        cursor.execute(WHOM_TO_TELL, {"customers": bigints(customer_ids)})
        return [row[0] for row in cursor.fetchall()]


def _hint() -> None:
    messages_written.send(sender=OutboxMessage)
