"""Refunds, disputes and payments of one order at once. Each lock and key has its control, in which the race is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from decimal import Decimal
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest

from accounts.models import User
from billing.models import Dispute, Order, Refund, SandboxRefund
from billing.operations import disputes, orders, place_order, refunds
from billing.operations.refunds import ask_refund, finish_refund
from credits.models import Coupon
from credits.operations import returns
from credits.operations.redemptions import write_entries
from referrals.operations import Due, settle, settlement
from tests.books import breaches
from tests.database import empty_database
from tests.facts import NOW, day, register
from tests.ordering import buy, give_card, give_credit, terms_of
from tests.races.racing import (
    LONGEST_WAIT,
    Meeting,
    at_once,
    meeting_after,
    meeting_before,
    names,
    until,
    waiting,
    without_condition,
    without_constraint,
    without_locks,
    without_row_locks,
)
from tests.refunding import answers_lost, dispute, given_back_by_gateway, refund, spend, staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    user = register("alice")
    give_card(user)
    return user


@pytest.fixture
def order(alice: User) -> Order:
    """$11.99, in cash."""
    staff()
    return buy(alice, domain=1)


def unlocked() -> AbstractContextManager[None]:
    return without_row_locks(Order)


def two_refunds(order: Order, lock: AbstractContextManager[None]) -> list[str]:
    ask: Callable[[str], Callable[[], object]] = lambda key: (  # noqa: E731
        lambda: ask_refund(order_id=order.pk, key=key, lines=None, actor=staff(), reason="", now=NOW)
    )
    with lock, meeting_after(refunds, "lines_left", Meeting(2)):
        return names(at_once(ask("one"), ask("two")))


def test_two_refunds_at_once_give_back_what_is_left_once(order: Order) -> None:
    assert two_refunds(order, nullcontext()) == ["done", "pending"]
    assert Refund.objects.get().amount.amount == Decimal("11.99")


def test_the_key_alone_lets_one_refund_be_on_its_way(order: Order) -> None:
    assert two_refunds(order, unlocked()) == ["conflict", "done"]
    assert Refund.objects.count() == 1


def test_control_without_lock_and_key_two_refunds_give_back_twice(order: Order) -> None:
    with without_constraint("an_order_has_one_refund_on_its_way"):
        assert two_refunds(order, unlocked()) == ["done", "done"]
        assert "line_gives_back_what_was_paid" in breaches()


def one_button(order: Order, lock: AbstractContextManager[None]) -> list[str]:
    """Press it twice at once."""
    press: Callable[[], object] = lambda: refund(order, (1, "5"))  # noqa: E731
    with lock, meeting_after(refunds, "lines_left", Meeting(2)):
        return names(at_once(press, press))


def test_one_button_pressed_twice_refunds_once(order: Order) -> None:
    assert one_button(order, nullcontext()) == ["done", "done"]
    assert given_back_by_gateway(order) == 5


def two_who_finish(order: Order, condition: AbstractContextManager[None]) -> list[str]:
    """Two go on at once with a refund whose answer was lost."""
    with answers_lost():
        asked = refund(order, (1, "5"))
    finish: Callable[[], object] = lambda: finish_refund(refund_id=asked.pk, now=NOW)  # noqa: E731
    with condition, meeting_before(refunds, "record_refund", Meeting(2)):
        return names(at_once(finish, finish))


def test_two_who_finish_a_refund_give_back_once(order: Order) -> None:
    assert two_who_finish(order, nullcontext()) == ["done", "done"]
    assert (given_back_by_gateway(order), SandboxRefund.objects.count()) == (5, 1)
    assert spend(order)[1:] == [("refund", "1", 5)]


def test_control_without_the_condition_the_refund_would_end_twice(order: Order) -> None:
    """The second finds its facts known already, and says that the books are wrong."""
    ends = two_who_finish(order, without_condition(Refund, state=Refund.State.ASKED))
    assert ends == ["UnableToRecordReversal", "done"]


def refund_and_dispute(order: Order, lock: AbstractContextManager[None]) -> list[str]:
    ask: Callable[[], object] = lambda: ask_refund(  # noqa: E731
        order_id=order.pk, key="k", lines=None, actor=staff(), reason="", now=NOW
    )
    meeting = Meeting(2)
    with lock, meeting_after(refunds, "lines_left", meeting), meeting_after(disputes, "lines_left", meeting):
        return names(at_once(ask, lambda: dispute(order, "11.99")))


def test_refund_and_dispute_at_once_share_the_cash(order: Order) -> None:
    """Either the refund comes first, and the dispute is told again; or nothing is left to refund."""
    assert refund_and_dispute(order, nullcontext()) in (["done", "unfinished"], ["done", "exceeds"])
    assert breaches() == {}


def test_control_without_the_lock_refund_and_dispute_both_take_the_cash(order: Order) -> None:
    assert refund_and_dispute(order, unlocked()) == ["done", "done"]
    assert "line_gives_back_what_was_paid" in breaches()
    empty_database()


def two_tidings(order: Order, lock: AbstractContextManager[None]) -> list[str]:
    """Two events tell of one dispute that was won, after its chargeback."""
    dispute(order, "11.99")
    win: Callable[[], object] = lambda: dispute(order, "11.99", "won")  # noqa: E731
    with lock, meeting_before(disputes, "_move", Meeting(2)):
        return names(at_once(win, win))


def test_two_tidings_of_a_dispute_won_reverse_it_once(order: Order) -> None:
    assert two_tidings(order, nullcontext()) == ["done", "done"]
    assert [kind for kind, _, _ in spend(order)] == ["payment", "chargeback", "chargeback_reversal"]


def test_the_condition_alone_reverses_a_dispute_once(order: Order) -> None:
    assert two_tidings(order, unlocked()) == ["done", "done"]
    assert len(spend(order)) == 3


def test_control_without_lock_and_condition_a_dispute_would_be_reversed_twice(order: Order) -> None:
    with without_condition(Dispute, state="open"):
        assert two_tidings(order, unlocked()) == ["UnableToRecordReversal", "done"]


def payment_and_chargeback(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    """The chargeback is told while the payment is being recorded, and before that has committed."""
    order = place_order(**terms_of(alice, at=NOW, domain=1))
    gateway_id, recorded, told = f"sandbox-charge-{order.charge.key}", Event(), Event()

    def tell() -> object:
        assert recorded.wait(LONGEST_WAIT)
        order.charge.gateway_id = gateway_id
        try:
            return dispute(order, "11.99")
        finally:
            told.set()

    with lock, patch.object(orders, "_record_spend", record_and_wait_for(told, recorded)):
        return names(at_once(lambda: orders.pay_order(order_id=order.pk, now=NOW), tell))


def record_and_wait_for(told: Event, recorded: Event) -> Callable[..., None]:
    """Record the spend, and hold the transaction until the chargeback was told, or waits for the order."""
    record_spend = orders._record_spend

    def record(order: Order, now: object) -> None:
        record_spend(order, now)  # type: ignore[arg-type]
        recorded.set()
        until(lambda: told.is_set() or waiting() > 0)

    return record


def test_chargeback_waits_for_the_payment_that_is_being_recorded(alice: User) -> None:
    assert payment_and_chargeback(alice, nullcontext()) == ["done", "done"]
    assert [kind for kind, _, _ in spend(Order.objects.get())] == ["payment", "chargeback"]


def test_control_without_the_lock_the_chargeback_finds_no_payment(alice: User) -> None:
    """It would have to be told again."""
    assert payment_and_chargeback(alice, unlocked()) == ["done", "unfinished"]
    assert [kind for kind, _, _ in spend(Order.objects.get())] == ["payment"]


def give_back_and_expire(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    """$10 of $20 were used; the refund of that and the expiry of the rest meet."""
    give_credit(alice, "20", expires_at=day(11, 15))
    trial = Coupon.objects.get(customer__customer=alice, kind="trial")
    order = buy(alice, without={trial.pk}, ecs=1)
    staff()
    sweep: Callable[[], object] = lambda: settle(as_of=day(11, 15), now=day(11, 15), due=[Due.EXPIRY])  # noqa: E731
    with ExitStack() as places:
        meeting = Meeting(2)
        places.enter_context(lock)
        places.enter_context(meeting_after(returns, "_read", meeting))
        places.enter_context(meeting_before(settlement, "expire_coupons", meeting))
        return names(at_once(lambda: refund(order, at=day(11, 15)), sweep))


def test_refund_and_expiry_end_with_all_of_it_expired(alice: User) -> None:
    assert give_back_and_expire(alice, nullcontext()) == ["done", "done"]
    coupon = Coupon.objects.get(kind="goodwill")
    assert (coupon.remaining.amount, coupon.expired.amount) == (0, 20)


def write_once_expired(write: Callable[..., None]) -> Callable[..., None]:
    def write_later(**entries: Any) -> None:
        until(lambda: bool(Coupon.objects.get(kind="goodwill").expired))
        write(**entries)

    return write_later


def test_control_without_the_lock_what_came_back_would_expire_twice(alice: User) -> None:
    """It is written from what was read before the expiry: the check on the coupon stops it, or entries do not follow
    one another."""
    with patch.object(returns, "write_entries", write_once_expired(write_entries)):
        ends = give_back_and_expire(alice, without_locks(returns, settlement))
    assert "IntegrityError" in ends or breaches()
    empty_database()
