"""An order whose payment is broken off ends paid once or not at all, wherever it was killed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import User
from billing.gateways import Card
from billing.models import Order
from billing.operations import add_card, finish_orders
from credits.operations import NewCoupon, issue_coupons
from tests.crash.staging import Stage
from tests.running import ROOT

ACCOUNT = "r100"
CASH, CREDIT = Decimal("15.99"), Decimal("5.00")

BEFORE_THE_CHARGE = ("billing_sandboxcharge", "true")
"""The gateway has the request, and has not charged yet; what it does then is undone with it."""
BEFORE_ITS_RECORD = ("billing_charge", "count(*) > 0 FROM billing_charge WHERE state = 'made'")
BEFORE_THE_REDEMPTION = ("credits_redemption", "count(*) > 0 FROM credits_redemption WHERE source = 'console'")
BEFORE_THE_SPEND = ("billing_spendevent", "count(*) > 0 FROM billing_spendevent WHERE source = 'console'")
PLACES = {
    "before the charge": BEFORE_THE_CHARGE,
    "between charge and record": BEFORE_ITS_RECORD,
    "between record and redemption": BEFORE_THE_REDEMPTION,
    "between redemption and spend": BEFORE_THE_SPEND,
}

TAKEN = "SELECT coalesce(sum(amount - refunded), 0) FROM billing_sandboxcharge WHERE outcome = 'made'"
REDEEMED = "SELECT coalesce(sum(amount), 0) FROM credits_redemption WHERE source = 'console'"
SPENT = "SELECT coalesce(sum(amount), 0) FROM billing_spendevent WHERE source = 'console'"
STATE = "SELECT state || ' ' || reason FROM billing_order"

PAID = ("paid ", CASH, CREDIT, CASH)
CANCELLED = ("cancelled not_charged", 0, 0, 0)


@pytest.fixture(autouse=True)
def _customer(stage: Stage) -> None:
    """Somebody with a card and $5 of credit."""
    now = datetime.now(UTC)
    with stage.doors():
        customer = User.objects.get(account_id=ACCOUNT)
        card = Card("sandbox-accepted-1", "visa", "4242", 12, now.year + 3, "fingerprint")
        add_card(customer_id=customer.pk, gateway="sandbox", card=card, now=now)
        expires_at = now + timedelta(days=180)
        coupon = NewCoupon(customer.pk, "goodwill", None, "goodwill:1", Decimal(5), now, expires_at)
        issue_coupons(coupons=[coupon], now=now)


def kill(stage: Stage, place: tuple[str, str], **more: str) -> None:
    """Let the customer press the button, and kill the process at this place."""
    table, condition = place
    with stage.gate(after=table, when=condition) as gate:
        shopper = stage.launch("-m", "tests.crash.shopper", ACCOUNT, "button", **more)
        gate.wait()
        shopper.kill()
    stage.wait_until_nobody_is_connected()
    with stage.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER stand_at_gate ON {table}; DROP FUNCTION stand_at_gate()")


def press_again(stage: Stage, **more: str) -> str:
    """Let the customer press the button once more, and return what the page would say."""
    command = [sys.executable, "-m", "tests.crash.shopper", ACCOUNT, "button"]
    environment = stage.environment(**more)
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def sweep(stage: Stage, *, after: timedelta) -> int:
    with stage.doors():
        return finish_orders(now=datetime.now(UTC) + after)


def outcome(stage: Stage) -> tuple[object, ...]:
    return tuple(stage.asked(question) for question in (STATE, TAKEN, REDEEMED, SPENT))


@pytest.mark.parametrize("place", PLACES)
def test_sweep_finishes_what_was_killed(stage: Stage, place: str) -> None:
    kill(stage, PLACES[place])
    assert stage.asked(STATE) == "placed "
    assert sweep(stage, after=timedelta(minutes=2)) == 1
    assert outcome(stage) == PAID
    assert stage.faults() == ""


@pytest.mark.parametrize("place", ["before the charge", "between charge and record"])
def test_sweep_that_comes_late_finishes_what_was_charged_and_nothing_else(stage: Stage, place: str) -> None:
    kill(stage, PLACES[place])
    assert sweep(stage, after=timedelta(hours=2)) == 1
    assert outcome(stage) == (CANCELLED if place == "before the charge" else PAID)
    assert stage.faults() == ""


def test_same_button_finishes_what_was_killed(stage: Stage) -> None:
    kill(stage, BEFORE_ITS_RECORD)
    assert press_again(stage) == "paid"
    assert outcome(stage) == PAID


def test_control_without_its_key_an_order_is_charged_twice(stage: Stage) -> None:
    kill(stage, BEFORE_ITS_RECORD, CRASH_WITHOUT="key")
    assert press_again(stage, CRASH_WITHOUT="key") == "paid"
    assert outcome(stage) == ("paid ", 2 * CASH, CREDIT, CASH)
    assert "sandbox_has_taken_what_was_charged" in stage.faults()


def test_order_that_was_killed_while_it_was_placed_is_none(stage: Stage) -> None:
    kill(stage, ("billing_charge", "true"))
    with stage.doors():
        assert not Order.objects.exists()
    assert press_again(stage) == "paid"
    assert outcome(stage) == PAID


def test_worker_killed_as_it_finishes_an_order_leaves_it_to_the_next(stage: Stage) -> None:
    kill(stage, BEFORE_THE_CHARGE)
    worker = stage.start_worker()
    stage.set_clock(120)
    with stage.gate(after=BEFORE_THE_REDEMPTION[0], when=BEFORE_THE_REDEMPTION[1]) as gate:
        stage.send("finish_orders")
        gate.wait()
        worker.kill()
    stage.wait_until_nobody_is_connected()
    assert outcome(stage) == ("placed ", CASH, 0, 0)

    stage.start_worker()
    assert stage.wait_for(stage.send("finish_orders")) == ["SUCCESS"]
    assert outcome(stage) == PAID
    assert stage.faults() == ""
