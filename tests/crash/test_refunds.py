"""A refund whose process is killed is done once when the sweep comes by: the database says what is to come back, and
the gateway gives back once for each key."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from typing import Any, NoReturn
from unittest.mock import patch

import pytest
from django.db import connection

from accounts.models import User
from billing.gateways.sandbox import Sandbox
from billing.models import Order, Refund, SandboxRefund
from billing.operations import finish_refunds, refunds
from credits.models import Coupon
from tests.facts import NOW, register
from tests.ordering import buy, give_card, give_credit
from tests.refunding import given_back_by_gateway, refund, spend, staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    user = register("alice")
    give_card(user)
    give_credit(user, "20")
    return user


@pytest.fixture
def order(alice: User) -> Order:
    """$340.00: $20 of cash, $20 of credit, $300 of trial."""
    staff()
    return buy(alice, ecs=40)


def killed(place: Any, name: str, order: Order) -> None:
    """Refund the order in another process, which is killed as it comes to this function."""
    connection.close()  # a connection must not be shared with a child
    child = os.fork()
    if not child:
        with patch.object(place, name, die):
            refund(order)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def die(*arguments: object, **options: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("Nobody comes here.")


@pytest.mark.parametrize(
    ("place", "name", "given_back"),
    [
        (Sandbox, "refund", 0),
        (refunds, "record_refund", 20),
        (refunds, "give_back", 20),
        (refunds, "record_reversals", 20),
    ],
    ids=["before the gateway", "before its record", "within its record", "at the end of its record"],
)
def test_killed_refund_is_done_once(order: Order, place: Any, name: str, given_back: int) -> None:
    killed(place, name, order)
    assert Refund.objects.get().state == "asked"
    assert given_back_by_gateway(order) == given_back
    assert Coupon.objects.get(kind="goodwill").remaining.amount == 0

    assert [finish_refunds(now=NOW) for _ in range(2)] == [1, 0]
    assert Refund.objects.get().state == "done"
    assert (given_back_by_gateway(order), SandboxRefund.objects.count()) == (20, 1)
    assert Coupon.objects.get(kind="goodwill").remaining.amount == 20
    assert Coupon.objects.get(kind="trial").remaining.amount == 300
    assert spend(order) == [("payment", "1", 20), ("refund", "1", Decimal(20))]


def test_refund_killed_before_it_stands_has_changed_nothing(order: Order) -> None:
    killed(refunds, "_create_lines", order)
    assert not Refund.objects.exists()
    assert refund(order).state == "done"
