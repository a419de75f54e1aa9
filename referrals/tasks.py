"""The jobs of Celery beat: thin doors to the one settlement, each by what is due (DESIGN: Doors)."""

import logging

from celery import shared_task
from redis.exceptions import RedisError

from accounts import clock
from referrals.operations import Due, settle, track
from referrals.operations import discard_unconfirmed as discard
from referrals.operations import flush_visits as flush
from referrals.operations import forget_changes as forget

logger = logging.getLogger(__name__)


@shared_task
def track_spend() -> int:
    """Recompute the referrals of friends with new spend."""
    return track(now=clock.now(), wait=False)


@shared_task
def pay_referrers() -> str:
    """Settle every customer with a payout due: 30 days after a friend has qualified."""
    return _settle(Due.PAYOUT)


@shared_task
def pay_bonuses() -> str:
    """Settle every customer with a bonus due: once a friend's first 90 days are over and the wait after them."""
    return _settle(Due.BONUS)


@shared_task
def expire_coupons() -> str:
    """Settle every customer with a coupon past its 180 days."""
    return _settle(Due.EXPIRY)


@shared_task
def claw_back() -> str:
    """Settle every customer who was granted more than is earned."""
    return _settle(Due.CLAWBACK)


@shared_task
def discard_unconfirmed() -> int:
    """Delete the sign-ups that nobody confirmed in time."""
    return discard(now=clock.now())


@shared_task
def forget_changes() -> int:
    """Delete notes of changes that later ones have overtaken."""
    return forget()


@shared_task
def flush_visits() -> int:
    """Write the visits that have been counted since the last time."""
    try:
        return flush(now=clock.now())
    except (RedisError, OSError) as fault:
        logger.warning("Visits stay where they are: %s", type(fault).__name__)
        return 0


def _settle(due: Due) -> str:
    now = clock.now()
    return str(settle(as_of=now, now=now, due=[due]))
