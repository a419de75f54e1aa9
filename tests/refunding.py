"""Refunds by staff and disputes of the sandbox's charges, through the operations that the doors call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from accounts.models import User
from billing.gateways import ToldDispute, UnableToReachGateway
from billing.gateways.sandbox import Sandbox
from billing.models import Dispute, Order, Refund, SandboxCharge, SpendEvent
from billing.operations import record_dispute, refund_order
from billing.queries.refunds import lines_left
from tests.facts import JANUARY, NOW


def staff() -> User:
    known = User.objects.filter(email="staff@example.com").first()
    return known or User.objects.create_user("staff@example.com", is_staff=True, created_at=JANUARY)


def refund(order: Order, *lines: tuple[int, str], key: str = "refund", at: datetime = NOW) -> Refund:
    """Refund amounts of lines, or all that is left where none is named."""
    wanted = [(position, Decimal(amount)) for position, amount in lines] or None
    return refund_order(order_id=order.pk, key=key, lines=wanted, actor=staff(), reason="A wish.", now=at)


def told(order: Order, amount: str, state: str = "open", *, dispute_id: str = "dp_1") -> ToldDispute:
    """What a gateway tells of a dispute about the order's charge."""
    return ToldDispute(dispute_id, (order.charge.gateway_id,), "", Decimal(amount), state)


def dispute(
    order: Order, amount: str, state: str = "open", *, dispute_id: str = "dp_1", at: datetime = NOW
) -> Dispute | None:
    """Record what the gateway of the order's charge tells of a dispute."""
    fact = told(order, amount, state, dispute_id=dispute_id)
    return record_dispute(gateway=order.charge.method.gateway, told=fact, now=at)


def parts(row: Any) -> tuple[Decimal, Decimal, Decimal]:
    """The cash, the credit and the trial of a row."""
    return row.cash.amount, row.credit.amount, row.trial.amount


def spend(order: Order) -> list[tuple[str, str, Decimal]]:
    """The facts about the order's spend: type, which line, amount."""
    events = SpendEvent.objects.filter(source="console", event_id__startswith=f"{order.number}-").order_by("pk")
    rows = events.values_list("type", "event_id", "amount")
    return [(kind, event_id.removeprefix(f"{order.number}-")[0], amount) for kind, event_id, amount in rows]


def given_back_by_gateway(order: Order) -> Decimal:
    """How much the sandbox has given back of the order's charge."""
    return Decimal(SandboxCharge.objects.get(key=order.charge.key).refunded.amount)


def left(order: Order) -> dict[int, Decimal]:
    """What can be refunded still, by line."""
    return {line.position: line.most for line in lines_left(order_id=order.pk)}


@contextmanager
def answers_lost() -> Iterator[None]:
    """Let the sandbox give back what it is asked for, and its answer be lost on the way."""
    ask = Sandbox.refund

    def lose(gateway: Sandbox, **wanted: Any) -> str:
        ask(gateway, **wanted)
        raise UnableToReachGateway

    with patch.object(Sandbox, "refund", lose):
        yield


@contextmanager
def nobody_there() -> Iterator[None]:
    """Let the sandbox be out of reach."""

    def fail(gateway: Sandbox, **wanted: Any) -> str:
        raise UnableToReachGateway

    with patch.object(Sandbox, "refund", fail):
        yield
