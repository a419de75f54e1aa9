"""The jobs of Celery beat."""

from celery import shared_task

from accounts import clock
from billing.operations import finish_orders as finish
from billing.operations import finish_refunds as finish_what_is_given_back


@shared_task
def finish_orders() -> int:
    """Pay or undo the orders whose payment was broken off."""
    return finish(now=clock.now())


@shared_task
def finish_refunds() -> int:
    """Go on with the refunds whose end the gateway has not told yet."""
    return finish_what_is_given_back(now=clock.now())
