"""The jobs of Celery beat for mails and webhooks."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from accounts import clock
from accounts.operations import deliver
from accounts.operations import deliver_webhooks as tell
from accounts.operations import empty_outbox as empty
from accounts.operations import empty_webhooks as forget


@shared_task
def deliver_outbox() -> str:
    """Send the mails that are due."""
    return str(deliver(now=clock.now()))


@shared_task
def empty_outbox() -> int:
    """Forget what mails said that were sent long enough ago."""
    return empty(before=clock.now() - timedelta(days=settings.MAIL_KEPT_DAYS))


@shared_task
def deliver_webhooks() -> str:
    """Number the events that have committed, and send what is due."""
    return str(tell(now=clock.now()))


@shared_task
def empty_webhooks() -> int:
    """Forget what webhooks said that were sent long enough ago."""
    return forget(before=clock.now() - timedelta(days=settings.WEBHOOKS_KEPT_DAYS))
