"""The Celery application: how tasks travel, and when beat sends which."""

import dbm.dumb  # noqa: F401 - beat keeps its schedule in one: told to stop while it loads this, it would not stop
import os
from typing import Any

from celery import Celery
from celery.beat import PersistentScheduler
from celery.schedules import BaseSchedule, crontab, schedule
from celery.signals import beat_init, celeryd_init
from django.conf import settings

from referral_site import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")

app = Celery("referral_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


class ForwardScheduler(PersistentScheduler):
    """Beat's memory of what it has sent, which bears a clock that is set back.

    Celery reckons the next run from the last one. If the clock was ahead at the last one, that lies in the future now,
    and beat would send nothing until the clock has come there again.
    """

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due; return the seconds until the next look."""
        now = self.app.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at and entry.last_run_at > now]
        if ahead:
            for entry in ahead:
                entry.last_run_at = now
            self._heap = None  # it is made anew from the entries
        return float(super().tick(*args, **options))


def job(task: str, when: BaseSchedule) -> dict[str, Any]:
    """A task that beat sends by a schedule."""
    return {"task": task, "schedule": when}


# The sweeps run every ten minutes, one after the other.
app.conf.beat_schedule = {
    "track_spend": job("referrals.tasks.track_spend", crontab()),
    "pay_referrers": job("referrals.tasks.pay_referrers", crontab(minute="0-59/10")),
    "pay_bonuses": job("referrals.tasks.pay_bonuses", crontab(minute="2-59/10")),
    "expire_coupons": job("referrals.tasks.expire_coupons", crontab(minute="4-59/10")),
    "claw_back": job("referrals.tasks.claw_back", crontab(minute="6-59/10")),
    "finish_orders": job("billing.tasks.finish_orders", crontab()),
    "finish_refunds": job("billing.tasks.finish_refunds", crontab()),
    "deliver_outbox": job("accounts.tasks.deliver_outbox", crontab()),
    "remind_expiring": job("credits.tasks.remind_expiring", crontab(minute="8", hour="7")),
    "empty_outbox": job("accounts.tasks.empty_outbox", crontab(minute="28", hour="4")),
    "deliver_webhooks": job("accounts.tasks.deliver_webhooks", crontab()),
    "empty_webhooks": job("accounts.tasks.empty_webhooks", crontab(minute="48", hour="4")),
    "discard_unconfirmed": job("referrals.tasks.discard_unconfirmed", crontab(minute="38")),
    "forget_changes": job("referrals.tasks.forget_changes", crontab(minute="48", hour="4")),
    # Seconds: what a crash of the server that counts visits may cost.
    "flush_visits": job("referrals.tasks.flush_visits", schedule(10)),
    "audit": job("referral_site.tasks.audit", crontab(minute="18", hour="3")),
}


@celeryd_init.connect
@beat_init.connect
def start_embedded_servers(**signal: object) -> None:
    """Start the broker and the database before the worker or beat looks for them."""
    embedded.start(settings.EMBEDDED)
