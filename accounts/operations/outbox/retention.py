"""What mails said is kept for a while only."""

from datetime import datetime

from django.db.models import Q

from accounts.models import OutboxMessage
from accounts.retries import retried


@retried
def empty_outbox(*, before: datetime) -> int:
    """Take out of the mails that were sent or dropped before an instant whom they went to and what they said.

    Return how many. What belongs to a customer keeps its key, so that it is never written a second time; what does not
    is deleted: nobody is left whom it tells of.
    """
    done = OutboxMessage.objects.filter(Q(sent_at__lt=before) | Q(dropped_at__lt=before))
    deleted, _ = done.filter(customer=None).delete()
    return deleted + done.exclude(facts={}, recipient="").update(facts={}, recipient="")
