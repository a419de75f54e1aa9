"""Customers are reminded of what they have not used, 14 and 3 days before it expires, once each."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from djmoney.money import Money

from accounts.models import OutboxMessage, User
from credits.operations import NewCoupon, issue_coupons, redeem, remind_expiring
from credits.tasks import remind_expiring as job
from referrals.operations import disqualify
from tests.facts import JANUARY, NOW, day, register
from tests.mailing import delivered, html_of, kinds, reachable, text_of

pytestmark = pytest.mark.django_db(transaction=True)

EXPIRY = day(7, 1)


@pytest.fixture
def alice() -> User:
    return reachable(register("alice"))


def goodwill(*customers: User, amount: str = "20", number: int = 1, expires_at: datetime = EXPIRY) -> None:
    """Give each so many coupons."""
    held = OutboxMessage.objects.count() + 1
    coupons = [
        NewCoupon(
            one.pk, "goodwill", None, f"goodwill:{one.pk}:{n}:{expires_at}:{held}", Decimal(amount), JANUARY, expires_at
        )
        for one in customers
        for n in range(number)
    ]
    issue_coupons(coupons=coupons, now=JANUARY)


@pytest.mark.parametrize(
    ("before", "written"),
    [
        (timedelta(days=14, seconds=1), 0),
        (timedelta(days=14), 1),
        (timedelta(days=3, seconds=1), 1),
        (timedelta(days=3), 1),
        (timedelta(seconds=1), 1),
        (timedelta(), 0),
    ],
)
def test_reminder_comes_within_its_days(alice: User, before: timedelta, written: int) -> None:
    goodwill(alice)
    assert remind_expiring(now=EXPIRY - before) == written


def test_each_coupon_is_reminded_of_twice_however_often_the_job_runs(alice: User) -> None:
    goodwill(alice)
    for days in range(20, -1, -1):
        for _ in range(2):
            remind_expiring(now=EXPIRY - timedelta(days=days))
    first, last = delivered(NOW)
    assert (first.to, last.to) == (["alice@example.com"], ["alice@example.com"])
    assert OutboxMessage.objects.count() == 2


def test_reminder_says_how_much_is_left_and_until_when(alice: User) -> None:
    goodwill(alice)
    spent = Money("7.5", "USD")
    redeem(
        source="console", redemption_id="r", customer_id=alice.pk, amount=spent, occurred_at=day(2, 1), now=day(2, 1)
    )
    now = EXPIRY - timedelta(days=14)
    remind_expiring(now=now)
    (letter,) = delivered(now)
    assert letter.subject == "$12.50 of your credit expires in 14 days"
    for words in (text_of(letter), html_of(letter)):
        assert (
            "$12.50 is left on a coupon that can be used until 1 Jul 2026, 00:00 UTC. After that it is gone." in words
        )


def test_ten_coupons_of_one_day_are_one_mail(alice: User) -> None:
    goodwill(alice, number=10)
    now = EXPIRY - timedelta(days=3)
    assert remind_expiring(now=now) == 1
    (letter,) = delivered(now)
    assert letter.subject == "$200 of your credit expires in 3 days"
    assert "$200.00 is left on 10 coupons." in text_of(letter)


def test_coupons_of_two_days_and_two_customers_are_a_mail_each(alice: User) -> None:
    bob = reachable(register("bob"))
    goodwill(alice, bob)
    goodwill(alice, expires_at=EXPIRY + timedelta(days=1))
    assert remind_expiring(now=EXPIRY - timedelta(days=10)) == 3


def test_coupons_of_one_day_are_told_of_together_wherever_the_job_falls_between_them(alice: User) -> None:
    goodwill(alice)
    goodwill(alice, amount="5", expires_at=EXPIRY + timedelta(hours=23))
    for days in range(20, -1, -1):
        remind_expiring(now=EXPIRY + timedelta(hours=7, minutes=8) - timedelta(days=days))
    first, last = OutboxMessage.objects.order_by("pk")
    for told in (first, last):
        assert (told.facts["coupons"], told.facts["left_amount"]) == (2, "25.00")
    assert (EXPIRY - first.created_at, EXPIRY - last.created_at) == (
        timedelta(days=13, hours=16, minutes=52),
        timedelta(days=2, hours=16, minutes=52),
    )


def test_coupons_of_one_day_wait_for_the_first_of_them(alice: User) -> None:
    goodwill(alice, number=2)
    goodwill(alice, expires_at=EXPIRY + timedelta(hours=1))
    assert remind_expiring(now=EXPIRY - timedelta(days=14, seconds=1)) == 0
    assert remind_expiring(now=EXPIRY - timedelta(days=14)) == 1
    (told,) = OutboxMessage.objects.all()
    assert told.facts["coupons"] == 3


def test_trial_is_reminded_of_by_itself(alice: User) -> None:
    now = JANUARY + timedelta(days=365 - 14)
    goodwill(alice, expires_at=JANUARY + timedelta(days=365))
    assert remind_expiring(now=now) == 2
    subjects = [letter.subject for letter in delivered(now)]
    assert subjects == ["$20 of your credit expires in 14 days", "$300 of your free trial expires in 14 days"]


def test_what_is_used_up_is_no_reminder(alice: User) -> None:
    goodwill(alice)
    everything = Money("20", "USD")
    redeem(
        source="console",
        redemption_id="r",
        customer_id=alice.pk,
        amount=everything,
        occurred_at=day(2, 1),
        now=day(2, 1),
    )
    assert remind_expiring(now=EXPIRY - timedelta(days=3)) == 0


def test_frozen_credit_is_no_reminder(alice: User) -> None:
    goodwill(alice)
    disqualify(user_id=alice.pk, actor=None, reason="Card theft.", now=JANUARY)
    assert remind_expiring(now=EXPIRY - timedelta(days=3)) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"wants_expiry_mail": False},
        pytest.param(
            {"closed_at": NOW, "is_active": False},
            marks=pytest.mark.untrue_rows("closed_account_has_nothing_left", "closed_account_is_shut"),
        ),
        {"signup_attribution": {"fact": {}}},
    ],
)
def test_nobody_is_reminded_who_cannot_be_told(alice: User, fields: dict[str, object]) -> None:
    goodwill(alice)
    User.objects.filter(pk=alice.pk).update(**fields)
    assert remind_expiring(now=EXPIRY - timedelta(days=3)) == 0


def test_job_reminds(alice: User) -> None:
    goodwill(alice)
    with time_machine.travel(EXPIRY - timedelta(days=3), tick=False):
        assert job() == 1
    assert kinds(alice) == ["credit_expiring"]
