"""The Celery application: how tasks travel, and when beat sends which."""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, celeryd_init
from django.conf import settings

from referral_site import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")

app = Celery("referral_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def job(task: str, schedule: crontab, *, expires: int) -> dict[str, Any]:
    """A task that beat sends by `schedule`; one that no worker took within `expires` seconds is dropped.

    What it would have done is due in the database still, and the next one does it.
    """
    return {"task": task, "schedule": schedule, "options": {"expires": expires}}


# The sweeps run every ten minutes, one after the other.
app.conf.beat_schedule = {
    "track_spend": job("referrals.tasks.track_spend", crontab(), expires=60),
    "pay_referrers": job("referrals.tasks.pay_referrers", crontab(minute="0-59/10"), expires=600),
    "pay_bonuses": job("referrals.tasks.pay_bonuses", crontab(minute="2-59/10"), expires=600),
    "expire_coupons": job("referrals.tasks.expire_coupons", crontab(minute="4-59/10"), expires=600),
    "claw_back": job("referrals.tasks.claw_back", crontab(minute="6-59/10"), expires=600),
    "discard_unconfirmed": job("referrals.tasks.discard_unconfirmed", crontab(minute="38"), expires=3600),
    "audit": job("referral_site.tasks.audit", crontab(minute="18", hour="3"), expires=12 * 3600),
}


@celeryd_init.connect
@beat_init.connect
def start_embedded_servers(**signal: object) -> None:
    """Start the broker and the database before the worker or beat looks for them."""
    embedded.start(settings.EMBEDDED)
