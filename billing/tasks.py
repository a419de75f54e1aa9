"""The jobs of Celery beat."""

from celery import shared_task

from accounts import clock
from billing.operations import finish_orders as finish


@shared_task
def finish_orders() -> int:
    """Pay or undo the orders whose payment was broken off."""
    return finish(now=clock.now())
