"""Tracking, settlement, holds and newcomers at once. Each lock has its control: without it, the race is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from unittest.mock import patch

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from accounts.models import ImportRun, User
from accounts.operations import (
    AccountFact,
    UnableToAdvanceRun,
    import_accounts,
    imports,
    imports_sql,
    sign_up,
    start_run,
)
from accounts.operations import (
    register as confirm,
)
from accounts.operations import (
    registration as sign_up_module,
)
from credits.models import Coupon
from referrals import reckoning
from referrals.models import FraudFlag, Referral
from referrals.operations import open_flag, settle, settlement, settlement_sql, track, tracking
from tests.facts import NOW, day, fact, record, refund, register
from tests.newcomers import PASSWORD, referrer
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
    without_constraint,
)

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


WRITE_LATE = "FROM earned CROSS JOIN (SELECT pg_advisory_xact_lock(20260103)) AS a_gate\nWHERE"


def track_while_another_reads_slowly(bob: User, lock: AbstractContextManager[None]) -> Decimal:
    """Track a batch with a statement that reads at once and writes late; meanwhile another batch comes and is tracked.

    Return the qualifying spend in the end, when both batches are marked as applied.
    """
    recompute, slow = tracking.recompute, tracking.RECOMPUTE.replace("FROM earned\nWHERE", WRITE_LATE)
    assert slow != tracking.RECOMPUTE
    closed, reading, tracked = threading.Event(), threading.Event(), threading.Event()

    def keep_the_gate() -> None:
        with outside() as cursor:
            cursor.execute("SELECT pg_advisory_lock(20260103)")
            closed.set()
            until(lambda: tracked.is_set() or waiting() >= 2)

    def track_slowly() -> None:
        assert closed.wait(LONGEST_WAIT)
        track(now=NOW)

    def recompute_slowly(*, referral_ids: list[int], now: object) -> None:
        if reading.is_set():
            recompute(referral_ids=referral_ids, now=NOW)
            return
        reading.set()
        with connection.cursor() as cursor:
            cursor.execute(slow, {"referrals": referral_ids, "now": NOW})

    def come_later() -> None:
        until(lambda: reading.is_set() and waiting() >= 1)
        record(fact(bob, "young", "15", day(1, 6)))
        track(now=NOW, wait=False)
        tracked.set()

    record(fact(bob, "old", "10", day(1, 5)))
    track(now=NOW)
    record(fact(bob, "middle", "1", day(1, 5)))
    with lock, patch.object(tracking, "recompute", recompute_slowly):
        assert names(at_once(keep_the_gate, track_slowly, come_later)) == ["done"] * 3
    assert track(now=NOW) == 0
    return Decimal(of(bob).qualifying_spend.amount)


def test_two_trackings_at_once_end_with_all_spend(bob: User) -> None:
    assert track_while_another_reads_slowly(bob, nullcontext()) == 26


@pytest.mark.untrue_rows
def test_control_without_the_lock_the_slower_tracking_loses_the_younger_batch(bob: User) -> None:
    lock = replaced(tracking, "LOCK_OF_BATCHES", "FOR NO KEY UPDATE", "")
    assert track_while_another_reads_slowly(bob, lock) == 11


def track_while_it_is_settled(alice: User, bob: User, lock: AbstractContextManager[None]) -> list[str]:
    """Take the payment back once a sweep has reckoned with it; return what came first."""
    record(fact(bob, "p", "20", day(1, 5)))
    track(now=NOW)
    record(refund(bob, "r", "1", "p"))
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
        order.append("reckoned")
        return outcome

    tracked_before = patch.object(settlement, "track", lambda **options: 0)
    with lock, tracked_before, patch.object(settlement, "reckon", reckon_and_wait):
        assert names(at_once(lambda: settle(as_of=DUE, now=NOW), track_it)) == ["done", "done"]
    return order


def test_tracking_waits_for_the_sweep_that_has_reckoned(alice: User, bob: User) -> None:
    assert track_while_it_is_settled(alice, bob, nullcontext()) == ["reckoned", "tracked"]
    settle(as_of=DUE, now=NOW)
    assert of(bob).payout_granted.amount == 0
    assert Coupon.objects.get(kind="payout").revoked.amount == 20


def test_control_without_the_lock_a_sweep_grants_what_is_no_longer_earned(alice: User, bob: User) -> None:
    lock = replaced(settlement_sql, *NO_REFERRAL_LOCK)
    assert track_while_it_is_settled(alice, bob, lock) == ["tracked", "reckoned"]
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
