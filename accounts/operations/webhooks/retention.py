"""What webhooks said is kept for a while only."""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts.models import WebhookDelivery, WebhookEvent
from accounts.retries import retried


@retried
@transaction.atomic
def empty_webhooks(*, before: datetime) -> int:
    """Forget the deliveries that ended before an instant, those that wait for an endpoint that has been off since, and
    what events said that are on their way nowhere any more; return how many deliveries.

    An event keeps its key, so that it is never written a second time, and its number, from which the next one counts.
    """
    ended = Q(ended_at__lt=before)
    stranded = Q(created_at__lt=before, endpoint__switched_off_at__lt=before)
    deleted, by_model = WebhookDelivery.objects.filter(ended | stranded).delete()
    on_its_way = WebhookDelivery.objects.filter(event=OuterRef("pk"))
    old = WebhookEvent.objects.filter(created_at__lt=before, sequence__isnull=False).exclude(payload={})
    old.filter(~Exists(on_its_way)).update(payload={})
    return by_model.get("accounts.WebhookDelivery", 0) if deleted else 0
