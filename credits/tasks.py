"""The job of Celery beat for credit."""

from celery import shared_task

from accounts import clock
from credits.operations import remind_expiring as remind


@shared_task
def remind_expiring() -> int:
    """Remind customers of credit that expires soon."""
    return remind(now=clock.now())
