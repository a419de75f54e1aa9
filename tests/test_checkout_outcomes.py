"""What becomes of an order that is not simply paid: declined, without an answer, or its credit gone meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from billing.gateways.sandbox import Sandbox
from billing.models import Charge, PaymentMethod, SandboxCharge, SandboxRefund, SpendEvent
from billing.operations import (
    check_out,
    finish_orders,
    pay_order,
    place_order,
    remove_card,
)
from billing.operations.orders import conclude_order, record_answer
from billing.tasks import finish_orders as job
from credits.models import Coupon, CouponEntry, Redemption
from credits.operations import redeem
from referral_site.celery import app
from referrals.operations import close_account, disqualify, settle
from tests.facts import NOW, register
from tests.ordering import (
    EXPIRES,
    buy,
    give_card,
    give_credit,
    left_on,
    parts_of,
    price,
    spend_of,
    taken_by,
    terms_of,
    use_trial_up,
)

pytestmark = pytest.mark.django_db(transaction=True)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def alice() -> User:
    """A customer with a card, and no trial left."""
    user = register("alice")
    give_card(user)
    use_trial_up(user)
    return user


@pytest.fixture
def bob() -> User:
    """A customer with a card and a trial of $300."""
    user = register("bob")
    give_card(user)
    return user


# Declined


def test_declined_card_leaves_credit_untouched() -> None:
    carol = register("carol")
    give_card(carol, "not-charged")
    coupon, trial = give_credit(carol, "5"), Coupon.objects.get(kind="trial")
    price("ecs", "400")
    order = buy(carol, ecs=1)
    assert parts_of(order) == [("ecs", "300.00", "5.00", "95.00")]
    assert (order.state, order.reason, order.cancelled_at) == ("cancelled", "declined", NOW)
    assert order.charge.state == "declined"
    assert (left_on(coupon, trial), spend_of(carol)) == (["5.00", "300.00"], [])
    assert not CouponEntry.objects.filter(type="REDEEM").exists()


def test_declined_order_is_not_tried_again_by_its_button_but_by_a_new_one() -> None:
    carol = register("carol")
    give_card(carol, "not-charged")
    terms = terms_of(carol, domain=1)
    first = check_out(**terms)
    assert check_out(**terms).pk == first.pk
    give_card(carol, token="another")
    PaymentMethod.objects.update(is_default=False)
    PaymentMethod.objects.filter(token="another").update(is_default=True)
    assert check_out(**terms).state == "cancelled"
    assert buy(carol, key="anew", domain=1).state == "paid"


# Unknown outcomes


@pytest.fixture
def dave() -> User:
    """A customer whose gateway's answers are lost."""
    user = register("dave")
    give_card(user, "unanswered")
    use_trial_up(user)
    give_credit(user, "5")
    return user


def test_order_whose_answer_is_lost_stays_open_and_uses_nothing(dave: User) -> None:
    order = buy(dave, image_search=2)
    assert (order.state, order.charge.state) == ("placed", "asked")
    assert not Redemption.objects.filter(redemption_id__startswith=order.number).exists()


def test_sweep_asks_back_and_finishes(dave: User) -> None:
    order = buy(dave, image_search=2)
    assert finish_orders(now=NOW + MINUTE) == 0
    assert finish_orders(now=NOW + MINUTE + SECOND) == 1
    order.refresh_from_db()
    assert (order.state, order.charge.state) == ("paid", "made")
    assert (taken_by(dave), spend_of(dave)) == ([(f"order:{order.number}", "3.40")], [("image-search", "3.40")])
    assert Redemption.objects.get(redemption_id=order.number).occurred_at == NOW
    assert SpendEvent.objects.get().occurred_at == NOW


def test_button_asks_back_too(dave: User) -> None:
    terms = terms_of(dave, image_search=2)
    check_out(**terms)
    assert check_out(**{**terms, "now": NOW + SECOND}).state == "paid"
    assert SandboxCharge.objects.count() == 1


def test_charge_that_was_never_made_is_asked_for_again_for_an_hour(alice: User) -> None:
    """As after a crash before the gateway was asked."""
    order = place_order(**terms_of(alice, rds=1))
    assert finish_orders(now=NOW + HOUR - SECOND) == 1
    order.refresh_from_db()
    assert (order.state, taken_by(alice)) == ("paid", [(f"order:{order.number}", "9.00")])


def test_charge_that_was_never_made_is_not_made_after_an_hour(alice: User) -> None:
    coupon = give_credit(alice, "5")
    order = place_order(**terms_of(alice, rds=1))
    assert finish_orders(now=NOW + HOUR) == 1
    order.refresh_from_db()
    assert (order.state, order.reason, order.charge.state) == ("cancelled", "not_charged", "not_made")
    assert (left_on(coupon), SandboxCharge.objects.exists()) == (["5.00"], False)


def test_charge_that_was_made_is_found_however_late(dave: User) -> None:
    order = buy(dave, image_search=2)
    assert finish_orders(now=NOW + timedelta(days=20)) == 1
    order.refresh_from_db()
    assert order.state == "paid"


def test_card_that_was_removed_meanwhile_is_not_charged(alice: User) -> None:
    order = place_order(**terms_of(alice, rds=1))
    remove_card(customer_id=alice.pk, method_id=PaymentMethod.objects.get().pk, now=NOW)
    assert finish_orders(now=NOW + HOUR - SECOND) == 0
    assert finish_orders(now=NOW + HOUR) == 1
    order.refresh_from_db()
    assert (order.state, order.reason) == ("cancelled", "not_charged")
    assert not SandboxCharge.objects.exists()


def test_order_without_cash_that_was_broken_off_is_finished(bob: User) -> None:
    order = place_order(**terms_of(bob, rds=1))
    assert finish_orders(now=NOW + MINUTE + SECOND) == 1
    order.refresh_from_db()
    assert order.state == "paid"


def test_order_that_has_ended_is_left_alone(alice: User) -> None:
    buy(alice, rds=1)
    assert finish_orders(now=NOW + HOUR) == 0


def test_beat_finishes_orders_each_minute(alice: User) -> None:
    schedule = app.conf.beat_schedule["finish_orders"]["schedule"]
    assert schedule.minute == set(range(60))
    place_order(**terms_of(alice, rds=1))
    assert job() == int(timezone.now() > NOW + MINUTE)


def test_charge_that_turns_up_after_its_order_was_cancelled_goes_back(alice: User) -> None:
    """As from a process that slept for hours between a look at the order and its request to the gateway."""
    order = place_order(**terms_of(alice, rds=1))
    finish_orders(now=NOW + HOUR)
    charge = Charge.objects.get(order=order)
    asked = {"token": charge.method.token, "amount": charge.amount, "key": charge.key}
    made = Sandbox().charge(customer="", description="", **asked)
    record_answer(charge_id=charge.pk, state=Charge.State.MADE, gateway_id=made, now=NOW + HOUR)
    finish_orders(now=NOW + 2 * HOUR)
    order.refresh_from_db()
    assert (order.state, order.charge.state) == ("cancelled", "undone")
    assert taken_by(alice) == [(f"order:{order.number}", "0.00")]


# Credit that is gone before the order is paid


def claim(user: User) -> None:
    """Have the billing system redeem all of the credit: it is a fact, whatever an order had in view."""
    whole = Coupon.objects.filter(customer=user.pk).credit().get().remaining
    redeem(source="billing", redemption_id="theirs", customer_id=user.pk, amount=whole, occurred_at=NOW, now=NOW)


@pytest.mark.parametrize(
    "take_away",
    [
        claim,
        lambda user: settle(as_of=EXPIRES, now=EXPIRES),
        lambda user: disqualify(user_id=user.pk, actor=None, reason="Fraud.", now=NOW),
        lambda user: close_account(user_id=user.pk, now=NOW),
    ],
    ids=["redeemed elsewhere", "expired", "frozen", "closed"],
)
def test_charge_is_undone_where_the_credit_is_gone(dave: User, take_away: Callable[[User], object]) -> None:
    order = buy(dave, image_search=2)
    take_away(dave)
    finish_orders(now=EXPIRES)
    order.refresh_from_db()
    assert (order.state, order.reason, order.charge.state) == ("cancelled", "credit_gone", "undone")
    assert (taken_by(dave), spend_of(dave)) == ([(f"order:{order.number}", "0.00")], [])
    assert not Redemption.objects.filter(redemption_id__startswith=order.number).exists()
    finish_orders(now=EXPIRES + HOUR)
    assert SandboxRefund.objects.count() == 1


def test_charge_that_went_back_before_that_was_recorded_goes_back_once(dave: User) -> None:
    """As after a crash between the gateway's answer and its record."""
    order = buy(dave, image_search=2)
    claim(dave)
    asked = {"charge_id": f"sandbox-charge-order:{order.number}", "amount": order.cash}
    record_answer(charge_id=order.charge.pk, state=Charge.State.MADE, gateway_id=asked["charge_id"], now=NOW)
    conclude_order(order_id=order.pk, now=NOW)
    Sandbox().refund(**asked, key=f"undo:order:{order.number}")
    finish_orders(now=NOW)
    order.refresh_from_db()
    assert (order.charge.state, SandboxRefund.objects.count()) == ("undone", 1)


def test_order_is_cancelled_where_its_credit_is_gone_and_nothing_was_to_be_charged(alice: User) -> None:
    give_credit(alice, "9")
    order = place_order(**terms_of(alice, rds=1))
    claim(alice)
    order = pay_order(order_id=order.pk, now=NOW)
    assert (order.state, order.reason) == ("cancelled", "credit_gone")


def test_coupon_that_expires_before_it_is_swept_still_pays_what_was_ordered_in_time(dave: User) -> None:
    order = buy(dave, image_search=2)
    finish_orders(now=EXPIRES + SECOND)
    order.refresh_from_db()
    assert order.state == "paid"
