"""Tracking, settlement, holds and newcomers at once. Each lock has its control: without it, the race is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import ImportRun, User
from accounts.operations import (
    AccountFact,
    Parked,
    UnableToAdvanceRun,
    finish_run,
    import_accounts,
    imports,
    imports_sql,
    park,
    sign_up,
    start_run,
)
from accounts.operations import (
    register as confirm,
)
from accounts.operations import (
    registration as sign_up_module,
)
from billing.models import SpendBatch
from credits.models import Coupon
from referrals import reckoning
from referrals.models import FraudFlag, Referral
from referrals.operations import open_flag, plain_grants, settle, settlement, settlement_sql, track, tracking
from referrals.operations.plain_grants import PlainGrants, grant_plain
from tests.database import empty_database
from tests.facts import NOW, day, fact, record, refund, register
from tests.newcomers import PASSWORD, referrer
from tests.races.late_writes import meanwhile
from tests.races.racing import (
    LONGEST_WAIT,
    Meeting,
    at_once,
    meeting_after,
    meeting_before,
    names,
    outside,
    replaced,
    slow_inserts,
    until,
    waiting,
    without_condition,
    without_constraint,
)
from tests.sweeps import nothing_is_plain

pytestmark = pytest.mark.django_db(transaction=True)

DUE = day(3, 1)
"""Of the payout that alice earns by bob."""

NO_REFERRAL_LOCK = ("LOCK_DUE_REFERRALS", "FOR NO KEY UPDATE", "")


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    return register("bob", referred_by=alice)


def of(friend: User) -> Referral:
    return Referral.objects.get(friend=friend)


# Tracking


def spend_and_track(bob: User, event_id: str, amount: str) -> None:
    record(fact(bob, event_id, amount, day(1, 6)))
    track(now=NOW, wait=False)


def track_while_another_reads_slowly(bob: User, lock: AbstractContextManager[None]) -> Decimal:
    """Track a batch with a statement that reads at once and writes late; meanwhile another batch comes and is tracked.

    Return the qualifying spend in the end, when both batches are marked as applied.
    """
    spend_and_track(bob, "old", "10")
    record(fact(bob, "middle", "1", day(1, 5)))
    with lock:
        meanwhile(tracking, lambda: track(now=NOW), lambda: spend_and_track(bob, "young", "15"))
    assert track(now=NOW) == 0
    return Decimal(of(bob).qualifying_spend.amount)


def test_two_trackings_at_once_end_with_all_spend(bob: User) -> None:
    assert track_while_another_reads_slowly(bob, nullcontext()) == 26


@pytest.mark.untrue_rows
def test_control_without_the_lock_the_slower_tracking_loses_the_younger_batch(bob: User) -> None:
    lock = replaced(tracking, "LOCK_OF_BATCHES", "FOR NO KEY UPDATE", "")
    assert track_while_another_reads_slowly(bob, lock) == 11


def track_for_the_first_time(bob: User, lock: AbstractContextManager[None]) -> Decimal:
    """Track a friend without spend for the first time, slowly, while the first spend comes and is tracked."""
    with lock:
        meanwhile(tracking, lambda: track(now=NOW), lambda: spend_and_track(bob, "first", "15"))
    return Decimal(of(bob).qualifying_spend.amount)


def test_the_first_tracking_of_a_friend_does_not_lose_spend_that_comes_meanwhile(bob: User) -> None:
    assert track_for_the_first_time(bob, nullcontext()) == 15


@pytest.mark.untrue_rows
def test_control_without_the_lock_the_first_tracking_loses_it(bob: User) -> None:
    assert track_for_the_first_time(bob, replaced(tracking, "LOCK", "FOR NO KEY UPDATE", "")) == 0


def track_who_is_parked(bob: User, lock: AbstractContextManager[Any]) -> Decimal:
    """Try a friend again who could not be tracked before, slowly, while other spend comes and is tracked."""
    track(now=NOW)
    record(fact(bob, "old", "10", day(1, 5)))
    SpendBatch.objects.update(applied_at=NOW)
    park(kind="tracking", rows=[Parked(str(of(bob).pk), ValueError("a test"), customer_id=bob.pk)], now=NOW)
    with lock:
        meanwhile(tracking, lambda: track(now=NOW), lambda: spend_and_track(bob, "young", "15"))
    return Decimal(of(bob).qualifying_spend.amount)


def test_another_try_with_a_parked_friend_does_not_lose_spend_that_comes_meanwhile(bob: User) -> None:
    assert track_who_is_parked(bob, nullcontext()) == 25


@pytest.mark.untrue_rows
def test_control_without_the_lock_the_other_try_loses_it(bob: User) -> None:
    assert track_who_is_parked(bob, replaced(tracking, "LOCK_PARKED", "FOR NO KEY UPDATE", "-- ")) == 10


@pytest.mark.untrue_rows
def test_control_asked_before_the_lock_who_is_parked_the_batch_leaves_it_to_the_other_try(bob: User) -> None:
    parked = [of(bob).pk]
    assert track_who_is_parked(bob, patch.object(tracking, "_parked", lambda: parked)) == 10


def take_back_during_a_sweep(bob: User) -> None:
    """Let bob pay, and let the refund be recorded but not tracked."""
    record(fact(bob, "p", "20", day(1, 5)))
    track(now=NOW)
    record(refund(bob, "r", "1", "p"))


def track_while_it_is_reckoned(bob: User, lock: AbstractContextManager[None]) -> list[str]:
    """Track a refund once a sweep has reckoned without it; return what came first."""
    take_back_during_a_sweep(bob)
    order: list[str] = []
    reckoned = threading.Event()
    reckon = reckoning.reckon

    def track_it() -> None:
        assert reckoned.wait(LONGEST_WAIT)
        track(now=NOW)
        order.append("tracked")

    def reckon_and_wait(*args: object, **options: object) -> object:
        outcome = reckon(*args, **options)  # type: ignore[arg-type]
        reckoned.set()
        until(lambda: bool(waiting() or order))
        order.append("granted")
        return outcome

    tracked_before = patch.object(settlement, "track", lambda **options: 0)
    with lock, tracked_before, nothing_is_plain(), patch.object(settlement, "reckon", reckon_and_wait):
        assert names(at_once(lambda: settle(as_of=DUE, now=NOW), track_it)) == ["done", "done"]
    return order


GRANT_LATE = "FROM due CROSS JOIN (SELECT pg_advisory_xact_lock(20260104)) AS a_gate\n)"


def track_while_it_is_granted(bob: User, lock: AbstractContextManager[None]) -> list[str]:
    """Track a refund while a plain grant, which reads at once and writes late, stands between; return what came first.

    Whoever keeps the gate opens it when tracking is done, or waits for the sweep.
    """
    take_back_during_a_sweep(bob)
    order: list[str] = []
    closed = threading.Event()

    def keep_the_gate() -> None:
        with outside() as cursor:
            cursor.execute("SELECT pg_advisory_lock(20260104)")
            closed.set()
            until(lambda: bool(order) or waiting() >= 2)

    def sweep() -> None:
        assert closed.wait(LONGEST_WAIT)
        settle(as_of=DUE, now=NOW)

    def track_it() -> None:
        until(lambda: closed.is_set() and waiting() >= 1)
        track(now=NOW)
        order.append("tracked")

    def grant_slowly(**options: Any) -> PlainGrants:
        plain = grant_plain(**options)
        order.append("granted")
        return plain

    slowly = replaced(plain_grants, "GRANT_PLAIN", "FROM due\n)", GRANT_LATE)
    tracked_before = patch.object(settlement, "track", lambda **options: 0)
    with lock, slowly, tracked_before, patch.object(settlement, "grant_plain", grant_slowly):
        assert names(at_once(keep_the_gate, sweep, track_it)) == ["done"] * 3
    return order


WAYS = pytest.mark.parametrize("race", [track_while_it_is_granted, track_while_it_is_reckoned])
Race = Callable[[User, AbstractContextManager[None]], list[str]]


@WAYS
def test_tracking_waits_for_the_sweep_that_grants(bob: User, race: Race) -> None:
    assert race(bob, nullcontext()) == ["granted", "tracked"]
    settle(as_of=DUE, now=NOW)
    assert of(bob).payout_granted.amount == 0
    assert Coupon.objects.get(kind="payout").revoked.amount == 20


@WAYS
def test_control_without_the_lock_a_sweep_grants_what_is_no_longer_earned(bob: User, race: Race) -> None:
    assert race(bob, replaced(settlement_sql, *NO_REFERRAL_LOCK)) == ["tracked", "granted"]
    assert (of(bob).payout_earned.amount, of(bob).payout_granted.amount) == (0, 20)


# A hold against the sweep


def hold_before_the_sweep(alice: User, bob: User, lock: AbstractContextManager[None]) -> Decimal:
    """Open a hold and commit it while a sweep that began before stands at the referral; return what was granted."""
    record(fact(bob, "p", "20", day(1, 5)))
    track(now=NOW)
    opened = threading.Event()
    swept = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            open_flag(
                referral_id=of(bob).pk,
                rule="a test",
                severity=FraudFlag.Severity.HOLD,
                evidence={},
                actor=None,
                reason="a test",
                now=NOW,
            )
            opened.set()
            until(lambda: bool(waiting() or swept.is_set()))

    def sweep() -> None:
        assert opened.wait(LONGEST_WAIT)
        settle(as_of=DUE, now=NOW)
        swept.set()

    with lock:
        assert names(at_once(hold, sweep)) == ["done", "done"]
    return Decimal(of(bob).payout_granted.amount)


def test_a_hold_that_commits_first_stops_the_sweep(alice: User, bob: User) -> None:
    assert hold_before_the_sweep(alice, bob, nullcontext()) == 0


def test_control_without_the_lock_the_sweep_grants_in_spite_of_the_hold(alice: User, bob: User) -> None:
    assert hold_before_the_sweep(alice, bob, replaced(settlement_sql, *NO_REFERRAL_LOCK)) == 20
    assert of(bob).held


# Newcomers


def follow_two_links() -> list[object]:
    """Follow alice's and carol's link in two browsers, and sign up through both at once with one address."""
    codes = [referrer("alice").code, referrer("carol").code]

    def through(code: str) -> Callable[[], User]:
        return lambda: sign_up(
            email="dave@example.com", password=PASSWORD, country="DE", attribution={"code": code}, now=NOW
        )

    with meeting_after(sign_up_module, "make_way", Meeting(2)):
        ends = at_once(*[through(code) for code in codes])
    found = list(User.objects.filter(email="dave@example.com"))
    at_once(*[lambda user=user: confirm(user_id=user.pk, now=NOW) for user in found * 2])
    return ends


def test_two_links_followed_at_once_make_one_friend_of_one_referrer() -> None:
    assert names(follow_two_links()) == ["done", "done"]
    dave = User.objects.get(email="dave@example.com")
    assert of(dave).referrer.account_id in {"alice", "carol"}
    assert list(Coupon.objects.filter(customer_id=dave.pk).order_by("kind").values_list("kind", flat=True)) == [
        "trial",
        "welcome",
    ]


def test_control_without_the_key_they_make_a_friend_for_each_referrer() -> None:
    with without_constraint("email_is_unique_on_lower_case"):
        follow_two_links()
        assert {referral.referrer.account_id for referral in Referral.objects.all()} == {"alice", "carol"}


# Imports of accounts


def account(line: int, name: str, referred_by: str = "") -> AccountFact:
    return AccountFact(line, name, f"{name}@example.com", "individual", "DE", "2026-01-01T00:00:00Z", referred_by)


def importer(facts: list[AccountFact], digest: str) -> Callable[[], object]:
    run = start_run(kind=ImportRun.Kind.ACCOUNTS, file_digest=digest, now=NOW)
    return lambda: import_accounts(facts=iter(facts), now=NOW, run=run, lines_done=facts[-1].line)


def crowd() -> list[AccountFact]:
    return [account(2, "alice"), *[account(3 + place, f"friend-{place}", "alice") for place in range(4)]]


def test_two_imports_of_one_file_at_once_register_each_account_once() -> None:
    """The second finds the run where the first has brought it, and says so."""
    ends = at_once(importer(crowd(), "one"), importer(crowd(), "one"))
    assert names(ends) == ["done", "overtaken"]
    assert any(isinstance(end, UnableToAdvanceRun) for end in ends)
    assert (User.objects.count(), Referral.objects.count()) == (5, 4)
    assert ImportRun.objects.get().accepted == 5


def test_control_without_the_condition_the_run_counts_each_line_twice() -> None:
    with without_condition(ImportRun, lines_done=0):
        assert names(at_once(importer(crowd(), "one"), importer(crowd(), "one"))) == ["done", "done"]
    run = ImportRun.objects.get()
    assert (run.lines_done, run.accepted, run.duplicate) == (6, 5, 5)
    empty_database()


def finish_twice(condition: AbstractContextManager[None]) -> list[str]:
    runs = [start_run(kind=ImportRun.Kind.ACCOUNTS, file_digest="one", now=NOW) for _ in range(2)]
    with condition:
        return names(at_once(*[lambda run=run: finish_run(run=run, now=NOW) for run in runs]))


def test_a_run_that_two_finish_at_once_is_told_to_one_of_them() -> None:
    assert finish_twice(nullcontext()) == ["done", "overtaken"]


def test_control_without_the_condition_it_is_told_to_both() -> None:
    assert finish_twice(without_condition(ImportRun, finished_at=None, lines_done=0)) == ["done", "done"]


def start_twice() -> int:
    """Start the run of one file twice at once, when neither has found one; return how many runs there are."""
    with meeting_before(QuerySet, "create", Meeting(2)):
        at_once(*[lambda: start_run(kind=ImportRun.Kind.ACCOUNTS, file_digest="one", now=NOW)] * 2)
    return ImportRun.objects.count()


def test_a_file_that_two_start_at_once_has_one_run() -> None:
    assert start_twice() == 1


def test_control_without_the_key_it_has_two_runs() -> None:
    with without_constraint("a_file_has_one_unfinished_run"):
        assert start_twice() == 2


def opposite_imports() -> list[object]:
    """Import the same accounts at once from two files, each in the other's order."""
    again = [fact._replace(line=place) for place, fact in enumerate(reversed(crowd()), start=2)]
    with slow_inserts("accounts_user"), meeting_after(imports, "_judge", Meeting(2)):
        return at_once(importer(crowd(), "one"), importer(again, "another"))


def test_two_files_with_the_same_accounts_at_once_follow_one_another() -> None:
    first, second = opposite_imports()
    assert sorted([str(first), str(second)]) == [
        "accepted=0 waiting=0 duplicate=5 refused=0",
        "accepted=5 waiting=0 duplicate=0 refused=0",
    ]


def test_control_without_the_lock_two_imports_block_each_other() -> None:
    with replaced(imports_sql, "ONE_AT_A_TIME", "SELECT pg_advisory_xact_lock(20260102, 0)", "SELECT 1"):
        assert "OperationalError" in names(opposite_imports())
