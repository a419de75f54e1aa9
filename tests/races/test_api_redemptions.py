"""Redemptions over the API by many clients at once. Each lock and key has its control: without it, the race is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from decimal import Decimal
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from accounts.models import User
from credits.models import Coupon, CouponEntry, Redemption
from credits.operations import lines, lines_sql, returns
from tests.api_calls import Caller, give, purchase
from tests.books import breaches
from tests.database import empty_database
from tests.facts import day, register
from tests.races.racing import Meeting, at_once, meeting_after, meeting_before, replaced, without_constraint

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 10
FAR = day(1, 1, 2100)


@pytest.fixture(autouse=True)
def alice() -> User:
    """Alice, with a coupon of $20."""
    alice = register("alice")
    give(alice, "gift", "20", expires_at=FAR)
    return alice


@pytest.fixture
def caller() -> Caller:
    return Caller("credit:redeem")


def left() -> Decimal:
    return Decimal(Coupon.objects.get(source="gift").remaining.amount)


@contextmanager
def all_have_read_what_is_left(clients: int = CLIENTS) -> Iterator[None]:
    """Let all clients meet before they write, unless they wait for a lock."""
    with meeting_before(lines, "_record", Meeting(clients)):
        yield


@contextmanager
def unlocked() -> Iterator[None]:
    """Take the lock out of the statement that reads who pays."""
    read = lines._payer
    with patch.object(lines, "_payer", lambda purchase, accepts, *, lock: read(purchase, accepts, lock=False)):
        yield


@contextmanager
def without_the_key() -> Iterator[None]:
    """Take the unique key out, and what relies on it out of the statement."""
    unkeyed = replaced(lines_sql, "RECORD", "ON CONFLICT (source, redemption_id) DO NOTHING", "")
    with without_constraint("a_redemption_counts_once"), unkeyed:
        yield


def ten_clients(caller: Caller, *bodies: Any) -> list[tuple[int, dict[str, Any]]]:
    """Send the bodies in turn by ten clients at once; return what they were answered."""
    return at_once(*[partial(caller.post, "redemptions", bodies[place % len(bodies)]) for place in range(CLIENTS)])


def test_ten_clients_with_one_purchase_get_one_answer(caller: Caller) -> None:
    with all_have_read_what_is_left():
        answers = ten_clients(caller, purchase())
    assert [status for status, _ in answers] == [200] * CLIENTS
    assert all(answer == answers[0][1] for _, answer in answers)
    assert (Redemption.objects.count(), left()) == (1, 8)


def test_the_key_alone_lets_one_purchase_count_once(caller: Caller) -> None:
    with unlocked(), all_have_read_what_is_left():
        answers = ten_clients(caller, purchase())
    assert all(answer == answers[0] for answer in answers)
    assert (Redemption.objects.count(), left()) == (1, 8)


def test_control_without_lock_and_key_one_purchase_counts_again(caller: Caller) -> None:
    """A coupon of $20 bears one more of $12 in what was read of it, and no more by its check."""
    with without_the_key(), unlocked(), all_have_read_what_is_left(2):
        at_once(*[partial(caller.post, "redemptions", purchase("order", "alice", ("ecs", "10")))] * 2)
        assert (Redemption.objects.count(), left()) == (2, 0)


def test_ten_clients_with_two_contents_get_one_of_them(caller: Caller) -> None:
    bodies = [purchase("order", "alice", ("ecs", "3")), purchase("order", "alice", ("ecs", "4"))]
    with all_have_read_what_is_left():
        answers = ten_clients(caller, *bodies)
    assert Counter(status for status, _ in answers) == {200: 5, 409: 5}
    assert left() == 20 - Decimal(Redemption.objects.get().amount.amount)


def on_two_accounts(caller: Caller, key: AbstractContextManager[None]) -> Counter[int]:
    """The lock of one account does not hold up the other: there is only the key."""
    give(register("bob"), "bobs", "20", expires_at=FAR)
    with key, all_have_read_what_is_left(2):
        answers = ten_clients(caller, purchase("order", "alice"), purchase("order", "bob"))
        assert Redemption.objects.count() == 1
    return Counter(status for status, _ in answers)


def test_ten_clients_with_one_id_on_two_accounts_pay_on_one(caller: Caller) -> None:
    assert on_two_accounts(caller, nullcontext()) == {200: 5, 409: 5}


def test_control_without_the_key_they_pay_on_both(caller: Caller) -> None:
    give(register("bob"), "bobs", "20", expires_at=FAR)
    with without_the_key(), all_have_read_what_is_left(2):
        at_once(*[partial(caller.post, "redemptions", purchase("order", name)) for name in ("alice", "bob")])
        assert Redemption.objects.count() == 2


def two_purchases(caller: Caller, lock: AbstractContextManager[None]) -> list[str]:
    """Return what credit paid of each, or the name of an error."""
    with lock, all_have_read_what_is_left(2):
        ends = at_once(*[partial(caller.post, "redemptions", purchase(name)) for name in ("one", "two")])
    return sorted(type(end).__name__ if isinstance(end, Exception) else end[1]["credit"] for end in ends)


def test_two_purchases_at_once_share_what_is_there(caller: Caller) -> None:
    assert two_purchases(caller, nullcontext()) == ["12.00", "8.00"]
    assert left() == 0


def test_control_without_the_lock_both_want_the_whole(caller: Caller) -> None:
    """The check on the coupon is what stops the second one."""
    assert two_purchases(caller, unlocked()) == ["12.00", "IntegrityError"]
    assert left() == 8


def redeem_while_another_returns(caller: Caller, lock: AbstractContextManager[None]) -> None:
    caller.post("redemptions", purchase("first", "alice", ("ecs", "5")))
    with lock, ExitStack() as places:
        meeting = Meeting(2)
        places.enter_context(meeting_after(lines, "_paid", meeting))
        places.enter_context(meeting_after(returns, "_read", meeting))
        answers = at_once(
            lambda: caller.post("redemptions", purchase("second", "alice", ("ecs", "3"))),
            lambda: caller.post("redemptions/first/returns", {"return_id": "back", "amount": "5"}),
        )
    assert [status for status, _ in answers] == [200, 200]


def test_a_redemption_and_a_return_follow_one_another(caller: Caller) -> None:
    redeem_while_another_returns(caller, nullcontext())
    assert left() == 17
    assert not breaches()


def test_control_without_the_lock_their_balances_do_not_follow(caller: Caller) -> None:
    redeem_while_another_returns(caller, unlocked())
    assert breaches()
    assert CouponEntry.objects.exists()
    empty_database()


def test_a_purchase_and_its_own_return_end_with_both_or_without_the_return(caller: Caller) -> None:
    """The return finds the redemption, or says that there is none and is sent again."""
    back = {"return_id": "back", "amount": "12"}
    answers = at_once(
        lambda: caller.post("redemptions", purchase()), lambda: caller.post("redemptions/order/returns", back)
    )
    assert [status for status, _ in answers] in ([200, 200], [200, 404])
    assert caller.post("redemptions/order/returns", back)[0] == 200
    assert left() == 20
