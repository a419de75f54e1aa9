"""Orders at once: the same button or coupon, the sweep beside the customer. Each lock and key has its control."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from djmoney.money import Money

from accounts.models import ParkedRow, User
from billing.gateways.sandbox import Sandbox
from billing.models import Order, Product, SandboxCharge
from billing.operations import check_out, finish_orders, orders, pay_order, place_order
from credits.models import Coupon, Redemption
from credits.operations import parts, redeem, redemptions
from referrals.operations import Due, settle, settlement, track
from tests.database import empty_database
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.ordering import EXPIRES, give_card, give_credit, left_on, spend_of, taken_by, terms_of
from tests.races.racing import (
    Meeting,
    at_once,
    key_of,
    meeting_after,
    meeting_before,
    names,
    slow_inserts,
    without_constraint,
    without_locks,
    without_row_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + timedelta(minutes=2)


@pytest.fixture
def alice() -> User:
    """A customer with a card, for whose products no trial pays."""
    Product.objects.update(accepts_trial=False)
    user = register("alice")
    give_card(user)
    return user


def states() -> list[str]:
    return sorted(f"{state} {reason}".strip() for state, reason in Order.objects.values_list("state", "reason"))


def redeemed() -> Decimal:
    return Decimal(sum(redemption.amount.amount for redemption in Redemption.objects.all()))


def in_place(*places: AbstractContextManager[Any]) -> ExitStack:
    stack = ExitStack()
    for place in places:
        stack.enter_context(place)
    return stack


# One coupon by thirty orders


def thirty_orders(alice: User, *without: AbstractContextManager[None]) -> list[str]:
    """Each is shown that a coupon of $20 pays its $1, and all order at once."""
    Product.objects.filter(code="rds").update(price=1)
    give_credit(alice, "20")
    terms = [terms_of(alice, key=f"button-{number}", rds=1) for number in range(30)]
    jobs: list[Callable[[], object]] = [lambda term=term: check_out(**term) for term in terms]  # type: ignore[misc]
    with in_place(*without, meeting_after(orders, "quote", Meeting(30))):
        return names(at_once(*jobs))


def test_one_coupon_by_thirty_orders_pays_those_that_it_suffices_for(alice: User) -> None:
    assert thirty_orders(alice) == ["changed"] * 10 + ["done"] * 20
    assert (states(), redeemed()) == (["paid"] * 20, 20)


def test_control_without_the_lock_more_orders_are_placed_than_the_coupon_pays(alice: User) -> None:
    """What they are promised is not there; redeeming, which has a lock of its own, finds that."""
    assert thirty_orders(alice, without_locks(orders)) == ["done"] * 30
    assert (states(), redeemed()) == (["cancelled credit_gone"] * 10 + ["paid"] * 20, 20)


def test_control_without_either_lock_they_would_redeem_more_than_is_there(alice: User) -> None:
    """The check on the coupon is what stops the last of them."""
    ends = thirty_orders(alice, without_locks(orders, parts), meeting_before(parts, "write_entries", Meeting(30)))
    assert ends == ["IntegrityError"] * 10 + ["done"] * 20
    empty_database()


# The same button


def ten_presses(alice: User, *without: AbstractContextManager[None]) -> list[str]:
    give_credit(alice, "5")
    terms = terms_of(alice, rds=1)
    with in_place(*without, meeting_after(orders, "quote", Meeting(10))):
        return names(at_once(*[lambda: check_out(**terms)] * 10))


def test_the_same_button_ten_times_at_once_orders_once(alice: User) -> None:
    assert ten_presses(alice) == ["done"] * 10
    (order,) = Order.objects.all()
    assert (order.state, taken_by(alice)) == ("paid", [(f"order:{order.number}", "4.00")])
    assert (redeemed(), spend_of(alice)) == (5, [("rds", "4.00")])


def test_the_key_alone_lets_the_same_button_order_once(alice: User) -> None:
    assert ten_presses(alice, without_locks(orders)) == ["IntegrityError"] * 9 + ["done"]
    assert (len(taken_by(alice)), redeemed()) == (1, 5)


def test_control_without_lock_and_key_the_same_button_orders_each_time(alice: User) -> None:
    with without_constraint("a_button_orders_once"):
        assert ten_presses(alice, without_locks(orders)) == ["done"] * 10
        assert len(taken_by(alice)) == 10


# The same order, by the customer and by the sweep


def both_pay(alice: User, order: Order, lock: AbstractContextManager[None]) -> list[str]:
    with lock, meeting_before(orders, "_redeem", Meeting(2)):
        return names(at_once(lambda: pay_order(order_id=order.pk, now=LATER), lambda: finish_orders(now=LATER)))


@pytest.fixture
def placed(alice: User) -> Order:
    give_credit(alice, "5")
    return place_order(**terms_of(alice, rds=1))


def test_customer_and_sweep_at_once_pay_an_order_once(alice: User, placed: Order) -> None:
    assert both_pay(alice, placed, nullcontext()) == ["done", "done"]
    assert (states(), taken_by(alice)) == (["paid"], [(f"order:{placed.number}", "4.00")])
    assert (redeemed(), spend_of(alice)) == (5, [("rds", "4.00")])


def test_control_without_the_lock_both_would_end_the_order(
    alice: User, placed: Order, caplog: pytest.LogCaptureFixture
) -> None:
    """The condition of the update stops the second: to the customer it is an error, the sweep logs it."""
    ends = both_pay(alice, placed, without_row_locks(Order))
    assert (ends == ["UnableToFinish", "done"]) is not ("cannot be finished" in caplog.text)
    assert (states(), redeemed()) == (["paid"], 5)


def ten_charges(alice: User) -> set[object]:
    amount = Money(4, "USD")

    def charge() -> str:
        return Sandbox().charge(customer="", token="sandbox-1", amount=amount, key="k", description="")

    with slow_inserts("billing_sandboxcharge"):
        return set(at_once(*[charge] * 10))


def test_sandbox_asked_ten_times_at_once_charges_once(alice: User) -> None:
    assert ten_charges(alice) == {"sandbox-charge-k"}
    assert SandboxCharge.objects.count() == 1


def test_control_without_its_key_the_sandbox_charges_more_than_once(alice: User) -> None:
    with without_constraint(key_of("billing_sandboxcharge", "key")):
        ten_charges(alice)
        assert SandboxCharge.objects.count() > 1


# Credit that others want too


def other_wants_it(alice: User, placed: Order, lock: AbstractContextManager[None]) -> list[str]:
    def elsewhere() -> object:
        return redeem(
            source="billing",
            redemption_id="theirs",
            customer_id=alice.pk,
            amount=Money(5, "USD"),
            occurred_at=NOW,
            now=NOW,
        )

    meeting = Meeting(2)
    with in_place(
        lock, meeting_after(redemptions, "_purses", meeting), meeting_before(parts, "write_entries", meeting)
    ):
        return names(at_once(lambda: pay_order(order_id=placed.pk, now=NOW), elsewhere))


def test_an_order_and_a_redemption_of_the_billing_system_share_the_coupon(alice: User, placed: Order) -> None:
    ends = other_wants_it(alice, placed, nullcontext())
    taken = taken_by(alice)[0][1]
    assert (ends, states(), taken) in [
        (["done", "insufficient"], ["paid"], "4.00"),
        (["done", "done"], ["cancelled credit_gone"], "0.00"),
    ]
    assert redeemed() == 5


def test_control_without_the_lock_the_coupon_would_be_spent_twice(alice: User, placed: Order) -> None:
    assert other_wants_it(alice, placed, without_locks(parts, redemptions)) == ["IntegrityError", "done"]


def sweep() -> object:
    return settle(as_of=EXPIRES, now=EXPIRES, due=[Due.EXPIRY])


def it_expires(placed: Order, lock: AbstractContextManager[None], met: AbstractContextManager[Any]) -> list[str]:
    with in_place(lock, met):
        return names(at_once(lambda: pay_order(order_id=placed.pk, now=NOW), sweep))


def test_an_order_and_the_expiry_share_the_coupon(alice: User, placed: Order) -> None:
    meeting = Meeting(2)
    met = in_place(
        meeting_before(parts, "write_entries", meeting), meeting_before(settlement, "expire_coupons", meeting)
    )
    assert it_expires(placed, nullcontext(), met) == ["done", "done"]
    assert (states(), redeemed()) in [(["paid"], 5), (["cancelled credit_gone"], 0)]
    assert left_on(*Coupon.objects.filter(kind="goodwill")) == ["0.00"]


def test_control_without_the_lock_the_coupon_would_be_spent_and_expired(alice: User, placed: Order) -> None:
    """The sweep has emptied it, and the order has read what was left."""
    meeting = Meeting(2)
    met = in_place(
        meeting_before(parts, "write_entries", meeting), meeting_after(settlement, "expire_coupons", meeting)
    )
    assert it_expires(placed, without_locks(parts, settlement), met) == ["IntegrityError", "done"]


@pytest.fixture
def payout(alice: User) -> Order:
    """What alice is to pay with the payout for bob, whose payment is charged back."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "p1", "20", day(9, 5)))
    settle(as_of=day(10, 10), now=NOW)
    order = place_order(**terms_of(alice, rds=2))
    assert order.credit.amount == 18
    record(chargeback(bob, "c", "20", "p1"))
    track(now=NOW)
    return order


@contextmanager
def before_either_writes() -> Iterator[None]:
    meeting = Meeting(2)
    with meeting_before(parts, "write_entries", meeting), meeting_before(settlement, "_write", meeting):
        yield


def it_is_clawed_back(order: Order, lock: AbstractContextManager[None]) -> list[str]:
    claw_back: Callable[[], object] = lambda: settle(as_of=NOW, now=NOW, due=[Due.CLAWBACK])  # noqa: E731
    with lock, before_either_writes():
        return names(at_once(lambda: pay_order(order_id=order.pk, now=NOW), claw_back))


def test_an_order_and_a_clawback_share_the_coupon(payout: Order) -> None:
    assert it_is_clawed_back(payout, nullcontext()) == ["done", "done"]
    coupon = Coupon.objects.get(kind="payout")
    assert (states(), coupon.redeemed.amount, coupon.revoked.amount) in [
        (["paid"], 18, 2),
        (["cancelled credit_gone"], 0, 20),
    ]


def test_control_without_the_lock_the_coupon_would_be_spent_and_revoked(payout: Order) -> None:
    """The check on the coupon stops whichever comes second: the order fails, or the sweep is parked."""
    ends = it_is_clawed_back(payout, without_locks(parts, settlement))
    assert (ends == ["IntegrityError", "done"]) is not ParkedRow.objects.filter(error__contains="23514").exists()
