"""The jobs of Celery beat: each settles by what is due, and new spend is tracked by a hint that may be lost."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
import time_machine
from celery.schedules import BaseSchedule
from django.conf import settings

from accounts.models import User
from credits.models import Coupon
from referral_site.celery import app
from referrals.models import Referral
from referrals.operations import track
from referrals.tasks import claw_back, expire_coupons, pay_bonuses, pay_referrers, track_spend
from tests.database import database_url
from tests.facts import NOW, day, fact, record, refund, register
from tests.running import manage

pytestmark = pytest.mark.django_db(transaction=True)

PAYOUT_DUE = day(2, 19)
BONUS_DUE = day(5, 1)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "p1", "12", day(1, 5)), fact(bob, "p2", "9", day(1, 20)))
    return bob


def kinds(of: User) -> list[str]:
    credit = Coupon.objects.credit().filter(customer_id=of.pk).order_by("pk")
    return list(credit.values_list("kind", flat=True))


def test_pay_referrers_pays_what_is_due_and_no_sooner(alice: User, bob: User) -> None:
    with time_machine.travel(PAYOUT_DUE - timedelta(seconds=1), tick=False):
        pay_referrers()
    assert kinds(alice) == []
    with time_machine.travel(PAYOUT_DUE, tick=False):
        pay_referrers()
        pay_referrers()
    assert kinds(alice) == ["payout"]


def test_pay_bonuses_pays_what_is_due_and_no_sooner(alice: User, bob: User) -> None:
    with time_machine.travel(BONUS_DUE - timedelta(seconds=1), tick=False):
        pay_bonuses()
    assert kinds(alice) == []
    with time_machine.travel(BONUS_DUE, tick=False):
        pay_bonuses()
    assert kinds(alice) == ["payout", "bonus"], "a customer is settled as a whole"


def test_expire_coupons_takes_what_is_left(alice: User, bob: User) -> None:
    with time_machine.travel(PAYOUT_DUE, tick=False):
        pay_referrers()
    with time_machine.travel(PAYOUT_DUE + timedelta(days=180), tick=False):
        expire_coupons()
    assert Coupon.objects.get(customer_id=alice.pk, kind="payout").expired.amount == 20


def test_claw_back_takes_back_what_is_not_earned_after_all(alice: User, bob: User) -> None:
    with time_machine.travel(PAYOUT_DUE, tick=False):
        pay_referrers()
    record(refund(bob, "r", "9", "p2"))
    with time_machine.travel(day(3, 1), tick=False):
        claw_back()
    assert Coupon.objects.get(customer_id=alice.pk, kind="payout").revoked.amount == 20


def test_track_spend_brings_the_sums_up_to_date(bob: User) -> None:
    assert Referral.objects.get().qualifying_spend.amount == 0
    with time_machine.travel(NOW, tick=False):
        assert track_spend() == 1
        assert track_spend() == 0
    assert Referral.objects.get().qualifying_spend.amount == 21


def test_a_broker_that_is_down_does_not_stop_spend(bob: User, tmp_path: Path) -> None:
    spend = tmp_path / "spend.csv"
    columns = "event_id,account_id,type,product,currency,amount,occurred_at,payment_id"
    spend.write_text(f"{columns}\np3,bob,payment,ecs,USD,5,2026-01-21T00:00:00Z,\n")
    done = manage("import_spend", str(spend), DATABASE_URL=database_url(), REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["accepted=1 waiting=0 duplicate=0 refused=0"]), done
    assert track(now=NOW) == 1


def test_every_job_of_the_schedule_is_a_task_that_exists() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        module, name = entry["task"].rsplit(".", 1)
        assert getattr(import_module(module), name).name == entry["task"]
        assert isinstance(entry["schedule"], BaseSchedule)


def test_the_sweeps_run_every_ten_minutes() -> None:
    for name in ("pay_referrers", "pay_bonuses", "expire_coupons", "claw_back"):
        assert len(app.conf.beat_schedule[name]["schedule"].minute) == 6


def test_visits_are_flushed_every_ten_seconds() -> None:
    assert app.conf.beat_schedule["flush_visits"]["schedule"].run_every == timedelta(seconds=10)


def test_a_killed_worker_loses_no_task() -> None:
    assert settings.CELERY_TASK_ACKS_LATE
    assert settings.CELERY_TASK_REJECT_ON_WORKER_LOST
