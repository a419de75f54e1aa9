"""The jobs of Celery beat for the outbox."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from accounts import clock
from accounts.operations import deliver
from accounts.operations import empty_outbox as empty


@shared_task
def deliver_outbox() -> str:
    """Send the mails that are due."""
    return str(deliver(now=clock.now()))


@shared_task
def empty_outbox() -> int:
    """Forget what mails said that were sent long enough ago."""
    return empty(before=clock.now() - timedelta(days=settings.MAIL_KEPT_DAYS))
