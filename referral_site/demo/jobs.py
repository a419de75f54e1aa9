"""The beat jobs, asked for at once instead of at their next minute."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from celery import Task
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from accounts.tasks import deliver_outbox
from billing.tasks import finish_orders, finish_refunds
from credits.tasks import remind_expiring
from referral_site.demo.queries import is_all_settled
from referrals import tasks

log = logging.getLogger(__name__)

JOBS: Sequence[Task] = (  # type: ignore[type-arg]
    finish_orders,
    finish_refunds,
    tasks.track_spend,
    tasks.claw_back,
    tasks.pay_referrers,
    tasks.pay_bonuses,
    tasks.expire_coupons,
    remind_expiring,
    deliver_outbox,
)
LONGEST_WAIT = timedelta(seconds=5)
PAUSE = timedelta(milliseconds=50)


def run_jobs(*, now: datetime) -> bool:
    """Send every job to the worker and wait a little for it to finish; say whether nothing is due at `now` any more.

    The demo's pages then show the outcome at once. Without a broker or a worker, beat does it when they are back.
    """
    return send_jobs() and wait_until_settled(now)


def send_jobs() -> bool:
    """Send the jobs; False where there is no broker to take them."""
    try:
        for job in JOBS:
            job.delay()
    except (OperationalError, RedisError, OSError) as fault:
        log.warning("The jobs wait for beat: no broker (%s).", fault)
        return False
    return True


def wait_until_settled(now: datetime) -> bool:
    """Look again and again, for a few seconds at most."""
    deadline = time.monotonic() + LONGEST_WAIT.total_seconds()
    while not (settled := is_all_settled(now=now)) and time.monotonic() < deadline:
        time.sleep(PAUSE.total_seconds())
    return settled
