"""A clock that was an hour ahead and is set back: nothing stands still, and the books are as clean as before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from celery.beat import PersistentScheduler

from accounts.models import User
from accounts.operations import add_payment_method, pass_verification, register, sign_up
from credits.models import Coupon, CreditAccount
from referral_site.celery import ForwardScheduler, app
from referrals.models import Referral
from referrals.operations import admit, open_flag, release_flag
from tests.books import breaches
from tests.facts import register as registered
from tests.newcomers import NOW, identity

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
A_MINUTE = 60


def next_look(scheduler: type[PersistentScheduler], path: Path) -> float:
    """Seconds until a beat looks again that was started an hour ahead, if a day may pass between two looks."""
    with time_machine.travel(NOW + HOUR, tick=False):
        beat = scheduler(app, schedule_filename=str(path), max_interval=24 * 3600)
        beat.tick()
    with time_machine.travel(NOW, tick=False):
        return float(beat.tick())


def next_look_after_a_restart(scheduler: type[PersistentScheduler], path: Path) -> float:
    """The same, where the beat that was an hour ahead has ended and another begins."""
    with time_machine.travel(NOW + HOUR, tick=False):
        scheduler(app, schedule_filename=str(path)).close()
    with time_machine.travel(NOW, tick=False):
        return float(scheduler(app, schedule_filename=str(path), max_interval=24 * 3600).tick())


@pytest.mark.parametrize("look", [next_look, next_look_after_a_restart])
def test_beat_goes_on_within_a_minute(tmp_path: Path, look: Callable[..., float]) -> None:
    assert 0 < look(ForwardScheduler, tmp_path / "schedule") <= A_MINUTE


@pytest.mark.parametrize("look", [next_look, next_look_after_a_restart])
def test_control_celerys_own_beat_stands_still_for_an_hour(tmp_path: Path, look: Callable[..., float]) -> None:
    assert look(PersistentScheduler, tmp_path / "schedule") > 3600


def signs_up(name: str, *, at: datetime, code: str = "") -> User:
    """Sign up on the website, with the code of a link, and confirm the address."""
    attribution = {"code": code} if code else {}
    user = sign_up(email=f"{name}@example.com", password="correct-horse", country="DE", attribution=attribution, now=at)
    register(user_id=user.pk, now=at)
    return user


def refers(user: User, *, at: datetime) -> str:
    """Become a customer who may refer, and return the link's code."""
    add_payment_method(user_id=user.pk, now=at)
    pass_verification(user_id=user.pk, identity=identity("P-1"), account_type="individual", now=at)
    return user.referral_link.code


@pytest.mark.django_db(transaction=True)
def test_a_friend_may_register_before_the_referrer_by_the_clock() -> None:
    """The referrer and the link came while the clock was ahead; the friend comes later, and by the clock before."""
    alice = signs_up("alice", at=NOW + HOUR)
    bob = signs_up("bob", at=NOW, code=refers(alice, at=NOW + HOUR))

    assert Referral.objects.get(friend=bob).referrer == alice
    assert breaches() == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.untrue_rows("friend_registers_after_the_referrer")
def test_no_clock_is_set_back_by_more_than_a_day() -> None:
    code = refers(signs_up("alice", at=NOW + DAY), at=NOW + DAY)

    signs_up("bob", at=NOW, code=code)
    assert breaches() == {}
    signs_up("cem", at=NOW - timedelta(seconds=1), code=code)
    assert list(breaches()) == ["friend_registers_after_the_referrer"]


@pytest.mark.django_db(transaction=True)
def test_credit_that_waited_for_a_hold_is_no_older_than_the_registration() -> None:
    alice, then = registered("alice"), NOW + HOUR
    bob = User.objects.create(account_id="bob", email="bob@example.com", created_at=then, registered_at=then)
    CreditAccount.objects.create(customer=bob)
    due_at = then + timedelta(days=120)
    referral = Referral.objects.create(
        friend=bob, referrer=alice, terms_id=1, registered_at=then, created_at=then, bonus_due_at=due_at
    )
    flag = open_flag(
        referral_id=referral.pk, rule="same card", severity="hold", evidence={}, actor=None, reason="Rule.", now=then
    )
    admit(user_ids=[bob.pk], now=then)

    release_flag(flag_id=flag.pk, actor=None, reason="It is another card.", now=NOW)

    given = Coupon.objects.filter(customer_id=bob.pk).values_list("kind", "issued_at")
    assert set(given) == {("trial", then), ("welcome", then)}
