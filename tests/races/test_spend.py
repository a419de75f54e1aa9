"""Batches of spend that arrive at once. Each lock and key has its control: the same race without it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from unittest.mock import patch

import pytest

from accounts.facts import Tally
from accounts.models import User
from accounts.retries import conflicts
from billing.models import SpendEvent, WaitingReversal
from billing.operations import Receipt, SpendFact, spend, spend_sql
from tests.books import breaches
from tests.database import empty_database
from tests.facts import codes, day, fact, record, refund, register
from tests.races.racing import Meeting, at_once, meeting_after, names, replaced, slow_inserts, without_constraint

pytestmark = pytest.mark.django_db(transaction=True)

ONE_OF_EACH = "an_event_counts_once"
NO_LOCK = patch.object(spend_sql, "LOCK_IDS", "SELECT %(source)s")


@pytest.fixture
def bob() -> User:
    return register("bob")


def deadlocks() -> int:
    return sum(count for (_, kind, _), count in conflicts.counts().items() if kind == "deadlock")


def race(*batches: Sequence[SpendFact], lock: AbstractContextManager[object] | None = None) -> list[Receipt]:
    """Record the batches at once: all are judged before any is written, but for those that wait for another."""
    with lock or nullcontext(), meeting_after(spend, "_judge_tangled", Meeting(len(batches))):
        return at_once(*[recorder(batch) for batch in batches])


def recorder(batch: Sequence[SpendFact]) -> Callable[[], Receipt]:
    return lambda: record(*batch)


def payments(of: User, count: int) -> list[SpendFact]:
    return [fact(of, f"p{place:02}", "1", day(1, 2) + timedelta(hours=place)) for place in range(count)]


def test_the_same_batch_ten_times_at_once_counts_once(bob: User) -> None:
    batch = payments(bob, 20)
    receipts = race(*[batch] * 10)
    total = sum((receipt.tally for receipt in receipts), Tally())
    assert total == Tally(accepted=20, duplicate=180)
    assert SpendEvent.objects.count() == 20


def test_control_without_the_key_the_same_batch_counts_ten_times(bob: User) -> None:
    batch = payments(bob, 20)
    with (
        without_constraint(ONE_OF_EACH),
        replaced(spend_sql, "INSERT_PAYMENTS", "ON CONFLICT (source, event_id) DO NOTHING", ""),
    ):
        receipts = race(*[batch] * 10)
        assert sum((receipt.tally for receipt in receipts), Tally()) == Tally(accepted=200)
        assert SpendEvent.objects.count() == 200


def opposite_batches(bob: User) -> tuple[list[SpendFact], list[SpendFact]]:
    """Two batches that share most of their payments, each in the other's order."""
    batch = payments(bob, 5)
    again = [one._replace(line=place) for place, one in enumerate(reversed(batch[:-1]), start=1)]
    return batch, again


def test_two_overlapping_batches_in_opposite_order_do_not_block_each_other(bob: User) -> None:
    before = deadlocks()
    with slow_inserts("billing_spendevent"):
        receipts = race(*opposite_batches(bob))
    assert sum((receipt.tally for receipt in receipts), Tally()) == Tally(accepted=5, duplicate=4)
    assert deadlocks() == before


def test_control_written_in_the_order_of_arrival_they_block_each_other(bob: User) -> None:
    """And one of them begins anew, so that nothing is lost even then."""
    before = deadlocks()
    in_order_of_arrival = replaced(spend_sql, "INSERT_PAYMENTS", "ORDER BY event_id", "ORDER BY line")
    with slow_inserts("billing_spendevent"), in_order_of_arrival:
        receipts = race(*opposite_batches(bob))
    assert sum((receipt.tally for receipt in receipts), Tally()) == Tally(accepted=5, duplicate=4)
    assert deadlocks() == before + 1


def opposite_refunds(bob: User) -> tuple[list[SpendFact], list[SpendFact]]:
    """Refunds of two payments, in both orders."""
    record(*payments(bob, 2))
    one_way = [refund(bob, "r1", "0.10", "p00"), refund(bob, "r2", "0.10", "p01")]
    other_way = [refund(bob, "r3", "0.10", "p01"), refund(bob, "r4", "0.10", "p00")]
    return one_way, other_way


@contextmanager
def slow_locks(order: str) -> Iterator[None]:
    """Take the keys one after the other in this order, each after a while."""
    slow = spend_sql.LOCK_IDS.replace("SELECT CASE", "SELECT pg_sleep(0.3), CASE").replace(
        "type <> 'payment' AS exclusive FROM", "type <> 'payment' AS exclusive, line FROM"
    )
    slow = slow.replace("& 511, true FROM", "& 511, true, line FROM").replace("GROUP BY key ORDER BY key", order)
    with patch.object(spend_sql, "LOCK_IDS", slow), meeting_after(spend, "_stage", Meeting(2)):
        yield


def test_refunds_in_opposite_order_do_not_block_each_other(bob: User) -> None:
    before, batches = deadlocks(), opposite_refunds(bob)
    with slow_locks("GROUP BY key ORDER BY key"):
        receipts = at_once(*[recorder(batch) for batch in batches])
    assert [receipt.tally for receipt in receipts] == [Tally(accepted=2)] * 2
    assert deadlocks() == before


def test_control_keys_taken_in_the_order_of_arrival_block_each_other(bob: User) -> None:
    before, batches = deadlocks(), opposite_refunds(bob)
    with slow_locks("GROUP BY key ORDER BY min(line), key"):
        receipts = at_once(*[recorder(batch) for batch in batches])
    assert [receipt.tally for receipt in receipts] == [Tally(accepted=2)] * 2
    assert deadlocks() > before


def test_a_refund_and_its_payment_at_once_find_each_other(bob: User) -> None:
    race([fact(bob, "p", "10")], [refund(bob, "r", "3", "p")])
    assert set(SpendEvent.objects.values_list("event_id", flat=True)) == {"p", "r"}
    assert not WaitingReversal.objects.exists()


@pytest.mark.untrue_rows
def test_control_without_the_lock_the_refund_waits_for_a_payment_that_is_there(bob: User) -> None:
    race([fact(bob, "p", "10")], [refund(bob, "r", "3", "p")], lock=NO_LOCK)
    assert SpendEvent.objects.get().event_id == "p"
    assert WaitingReversal.objects.get().event_id == "r"


def test_two_refunds_of_one_payment_at_once_do_not_exceed_it(bob: User) -> None:
    record(fact(bob, "p", "10"))
    receipts = race([refund(bob, "r1", "7", "p")], [refund(bob, "r2", "7", "p")])
    assert sorted(codes(receipt) for receipt in receipts) == [[], ["exceeds"]]


def test_control_without_the_lock_two_refunds_exceed_their_payment(bob: User) -> None:
    record(fact(bob, "p", "10"))
    receipts = race([refund(bob, "r1", "7", "p")], [refund(bob, "r2", "7", "p")], lock=NO_LOCK)
    assert [codes(receipt) for receipt in receipts] == [[], []]
    assert breaches()
    empty_database()


def wait_twice(bob: User) -> list[Receipt]:
    """Record one refund of an unknown payment twice at once, with no lock between the two."""
    early = [refund(bob, "r", "3", "not there")]
    with patch.object(spend, "POISON", ()):  # no second look
        return race(early, early, lock=NO_LOCK)


def test_the_same_waiting_refund_twice_at_once_waits_once(bob: User) -> None:
    early = [refund(bob, "r", "3", "not there")]
    receipts = race(early, early)
    assert sum((receipt.tally for receipt in receipts), Tally()) == Tally(waiting=1, duplicate=1)


def test_the_key_alone_lets_it_wait_once(bob: User) -> None:
    assert names(wait_twice(bob)) == ["IntegrityError", "done"]
    assert WaitingReversal.objects.count() == 1


def test_control_without_lock_and_key_it_waits_twice(bob: User) -> None:
    with without_constraint("a_waiting_event_counts_once"):
        wait_twice(bob)
        assert WaitingReversal.objects.count() == 2


def test_one_id_in_two_tables_at_once_is_one_fact(bob: User) -> None:
    """The payment would be an event, the refund would wait: no unique key spans both."""
    receipts = race([fact(bob, "x", "10")], [refund(bob, "x", "3", "not there")])
    assert sorted(codes(receipt) for receipt in receipts) == [[], ["conflict"]]
    assert SpendEvent.objects.count() + WaitingReversal.objects.count() == 1


def test_control_without_the_lock_one_id_is_two_facts(bob: User) -> None:
    receipts = race([fact(bob, "x", "10")], [refund(bob, "x", "3", "not there")], lock=NO_LOCK)
    assert [codes(receipt) for receipt in receipts] == [[], []]
    assert (SpendEvent.objects.count(), WaitingReversal.objects.count()) == (1, 1)
    assert breaches()
    empty_database()
