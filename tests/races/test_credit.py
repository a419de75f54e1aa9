"""One customer's credit, wanted by many at once. The lock has its control: without it, each race is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from decimal import Decimal
from threading import Event
from unittest.mock import patch

import pytest
from djmoney.money import Money

from accounts.facts import Receipt
from accounts.models import ParkedRow, User
from credits.models import Coupon, Debt
from credits.operations import (
    RedemptionFact,
    give_back,
    record_redemptions,
    redeem,
    redemptions,
    redemptions_sql,
    returns,
)
from referrals.operations import Due, settle, settlement, track
from tests.books import breaches
from tests.database import empty_database
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.races.racing import (
    Meeting,
    at_once,
    meeting_after,
    meeting_before,
    names,
    replaced,
    without_constraint,
    without_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

ISSUED, EXPIRES = day(3, 1), day(8, 28)
"""Of the payout of $20 that alice has for bob."""


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture(autouse=True)
def bob(alice: User) -> User:
    friend = register("bob", referred_by=alice)
    record(fact(friend, "p1", "20", day(1, 5)))
    settle(as_of=ISSUED, now=NOW)
    return friend


def order(alice: User, amount: int, redemption_id: str = "order") -> Callable[[], object]:
    return lambda: redeem(
        source="console",
        redemption_id=redemption_id,
        customer_id=alice.pk,
        amount=Money(amount, "USD"),
        occurred_at=day(8, 27),
        now=NOW,
    )


def refund_of(amount: int, return_id: str = "return") -> Callable[[], object]:
    return lambda: give_back(
        source="console",
        redemption_id="order",
        return_id=return_id,
        amount=Money(amount, "USD"),
        occurred_at=day(8, 27),
        now=NOW,
    )


def parts() -> dict[str, Decimal]:
    """Return the parts of the payout's coupon that are not zero."""
    coupon = Coupon.objects.get(kind="payout")
    found = {name: getattr(coupon, name).amount for name in ("remaining", "redeemed", "expired", "revoked")}
    return {name: amount for name, amount in found.items() if amount}


@contextmanager
def all_read_before_any_writes(parties: int) -> Iterator[None]:
    """Let all who spend, return or settle have read what is left before any of them writes."""
    meeting = Meeting(parties)
    with ExitStack() as places:
        places.enter_context(meeting_after(redemptions, "_purses", meeting))
        places.enter_context(meeting_after(returns, "_read", meeting))
        places.enter_context(meeting_before(settlement, "_write", meeting))
        yield


def unlocked() -> AbstractContextManager[None]:
    return without_locks(redemptions, returns, settlement)


def thirty_orders(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    with lock, all_read_before_any_writes(30):
        return names(at_once(*[order(alice, 1, f"order-{place}") for place in range(30)]))


def test_thirty_redemptions_at_once_spend_what_is_there(alice: User) -> None:
    assert thirty_orders(alice, nullcontext()) == ["done"] * 20 + ["insufficient"] * 10
    assert parts() == {"redeemed": 20}


def test_control_without_the_lock_they_want_more_than_is_there(alice: User) -> None:
    """Each has read $20; the check on the coupon is what stops the last of them."""
    assert thirty_orders(alice, unlocked()) == ["IntegrityError"] * 10 + ["done"] * 20
    assert breaches()
    empty_database()


def spend_while_it_expires(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    meeting = Meeting(2)
    sweep: Callable[[], object] = lambda: settle(as_of=EXPIRES, now=NOW, due=[Due.EXPIRY])  # noqa: E731
    with (
        lock,
        meeting_after(redemptions, "_purses", meeting),
        meeting_before(settlement, "expire_coupons", meeting),
    ):
        return names(at_once(order(alice, 15), sweep))


def test_a_redemption_and_the_expiry_share_the_coupon(alice: User) -> None:
    ends = spend_while_it_expires(alice, nullcontext())
    assert (ends, parts()) in [
        (["done", "done"], {"redeemed": 15, "expired": 5}),
        (["done", "insufficient"], {"expired": 20}),
    ]


def test_control_without_the_lock_the_coupon_would_be_spent_and_expired(alice: User) -> None:
    """The order has read what is left, and would spend it after the sweep has taken it."""
    has_read, has_expired = Event(), Event()
    purses = redemptions._purses

    def read_and_wait(customers: list[int]) -> object:
        read = purses(customers)
        has_read.set()
        assert has_expired.wait(20)
        return read

    def sweep() -> None:
        assert has_read.wait(20)
        settle(as_of=EXPIRES, now=NOW, due=[Due.EXPIRY])
        has_expired.set()

    with unlocked(), patch.object(redemptions, "_purses", read_and_wait):
        assert names(at_once(order(alice, 15), sweep)) == ["IntegrityError", "done"]


def spend_while_it_is_clawed_back(alice: User, bob: User, lock: AbstractContextManager[None]) -> list[str]:
    record(chargeback(bob, "c", "20", "p1"))
    track(now=NOW)
    sweep: Callable[[], object] = lambda: settle(as_of=day(8, 27), now=NOW, due=[Due.CLAWBACK])  # noqa: E731
    with lock, all_read_before_any_writes(2):
        return names(at_once(order(alice, 15), sweep))


def test_a_redemption_and_a_clawback_share_the_coupon(alice: User, bob: User) -> None:
    ends = spend_while_it_is_clawed_back(alice, bob, nullcontext())
    owed = sum(debt.outstanding.amount for debt in Debt.objects.all())
    assert (ends, parts(), owed) in [
        (["done", "done"], {"redeemed": 15, "revoked": 5}, 15),
        (["done", "insufficient"], {"revoked": 20}, 0),
    ]


def test_control_without_the_lock_the_coupon_would_be_spent_and_revoked(alice: User, bob: User) -> None:
    """The check on the coupon stops whichever comes second: the order fails, or the sweep is parked."""
    ends = spend_while_it_is_clawed_back(alice, bob, unlocked())
    assert (ends == ["IntegrityError", "done"]) is not ParkedRow.objects.filter(error__contains="23514").exists()


def spend_while_an_order_returns(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    order(alice, 10)()
    with lock, all_read_before_any_writes(2):
        return names(at_once(order(alice, 5, "another"), refund_of(10)))


def test_a_redemption_and_a_return_follow_one_another(alice: User) -> None:
    assert spend_while_an_order_returns(alice, nullcontext()) == ["done", "done"]
    assert parts() == {"remaining": 15, "redeemed": 5}


def test_control_without_the_lock_their_balances_do_not_follow(alice: User) -> None:
    spend_while_an_order_returns(alice, unlocked())
    assert breaches()
    empty_database()


def return_twice(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    order(alice, 10)()
    with lock, all_read_before_any_writes(2):
        return names(at_once(refund_of(10), refund_of(10, "again")))


def test_two_returns_of_one_redemption_give_back_what_it_used(alice: User) -> None:
    assert return_twice(alice, nullcontext()) == ["done", "exceeds"]
    assert parts() == {"remaining": 20}


def test_control_without_the_lock_two_returns_would_give_back_twice(alice: User) -> None:
    assert return_twice(alice, unlocked()) == ["IntegrityError", "done"]


def the_same_return_twice(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    order(alice, 10)()
    with lock, all_read_before_any_writes(2):
        return names(at_once(refund_of(4), refund_of(4)))


def test_the_same_return_twice_at_once_counts_once(alice: User) -> None:
    assert the_same_return_twice(alice, nullcontext()) == ["done", "done"]
    assert parts() == {"remaining": 14, "redeemed": 6}


def test_the_key_alone_lets_the_same_return_count_once(alice: User) -> None:
    assert the_same_return_twice(alice, unlocked()) == ["done", "done"]
    assert parts() == {"remaining": 14, "redeemed": 6}


def test_control_without_lock_and_key_the_same_return_counts_twice(alice: User) -> None:
    with without_constraint("a_return_counts_once"):
        assert the_same_return_twice(alice, unlocked()) == ["done", "done"]
        assert parts() == {"remaining": 18, "redeemed": 2}


def test_a_redemption_and_its_own_return_end_with_both_or_without_the_return(alice: User) -> None:
    """The return finds the redemption, or says that there is none and is sent again."""
    ends = names(at_once(order(alice, 10), refund_of(10)))
    assert ends in (["done", "done"], ["done", "redemption"])
    refund_of(10)()
    assert parts() == {"remaining": 20}


def the_same_file(copies: int, lock: AbstractContextManager[None]) -> list[int]:
    """Send one redemption of $3 so often at once; return how many of it each was told to have accepted, sorted."""
    facts = [RedemptionFact(2, "order", "alice", "3", day(8, 27).isoformat())]
    send: Callable[[], Receipt] = lambda: record_redemptions(source="billing", facts=facts, now=NOW)  # noqa: E731
    with lock, all_read_before_any_writes(copies):
        return sorted(receipt.tally.accepted for receipt in at_once(*[send] * copies))


def test_the_same_redemption_ten_times_at_once_counts_once() -> None:
    assert the_same_file(10, nullcontext()) == [0] * 9 + [1]
    assert parts() == {"remaining": 17, "redeemed": 3}


def test_the_key_alone_lets_the_same_redemption_count_once() -> None:
    """The lock does not stand in for the key: where the customers differ, there is nothing to wait for."""
    assert the_same_file(5, unlocked()) == [0] * 4 + [1]
    assert parts() == {"remaining": 17, "redeemed": 3}


def test_control_without_lock_and_key_the_same_redemption_counts_each_time() -> None:
    no_key = replaced(redemptions_sql, "INSERT_REDEMPTIONS", "ON CONFLICT (source, redemption_id) DO NOTHING", "")
    with without_constraint("a_redemption_counts_once"), no_key:
        assert the_same_file(5, unlocked()) == [1] * 5
        assert parts()["redeemed"] == 15
