"""Sweeps and trackings that share their work. Each lock and key has its control: without it, the race is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from djmoney.money import Money

from accounts.models import ParkedRow, User
from accounts.operations import Parked, park, parking
from billing.models import SpendBatch
from credits.models import Coupon, Debt
from credits.operations import coupons, lock_accounts, redeem
from referrals.models import Clawback, FraudFlag, Referral, Reward
from referrals.operations import open_flag, plain_grants, settle, settlement, settlement_sql, track, tracking
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.races.racing import (
    LONGEST_WAIT,
    Meeting,
    at_once,
    meeting_after,
    meeting_before,
    names,
    replaced,
    until,
    waiting,
    without_constraint,
    without_locks,
)
from tests.sweeps import nothing_is_plain

pytestmark = pytest.mark.django_db(transaction=True)

DUE = day(3, 1)
"""Of the payout that alice earns by bob."""


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """A friend of alice, with a payout due to her."""
    friend = register("bob", referred_by=alice)
    record(fact(friend, "p", "20", day(1, 5)))
    track(now=NOW)
    return friend


def of(friend: User) -> Referral:
    return Referral.objects.get(friend=friend)


@contextmanager
def with_keys_only(step: str) -> Iterator[None]:
    """Take the locks of a sweep out, and let two sweeps have done this step before either goes on."""
    no_lock = replaced(settlement_sql, "LOCK_DUE_REFERRALS", "FOR NO KEY UPDATE", "")
    with without_locks(settlement), no_lock, meeting_after(settlement, step, Meeting(2)):
        yield


Way = tuple[str, Callable[[], AbstractContextManager[Any]]]

WAYS = pytest.mark.parametrize(
    "way", [("grant_plain", nullcontext), ("reckon", nothing_is_plain)], ids=["plain", "reckoned"]
)


def grant_twice(bob: User, way: Way) -> list[Decimal]:
    """Sweep twice at once, with no lock between the two; return what was granted for bob."""
    step, going_that_way = way
    with going_that_way(), with_keys_only(step):
        assert names(at_once(*[lambda: settle(as_of=DUE, now=NOW)] * 2)) == ["done", "done"]
    return [reward.amount.amount for reward in Reward.objects.filter(referral=of(bob))]


@contextmanager
def without_sources() -> Iterator[None]:
    """Take away what keeps a coupon of one source from coming twice, or from being two rewards'."""
    no_conflict = replaced(coupons, "ISSUE", "ON CONFLICT (source) DO NOTHING", "")
    of_coupons = without_constraint("credits_coupon_source_key")
    with of_coupons, without_constraint("referrals_reward_coupon_id_key"), no_conflict:
        yield


@WAYS
def test_the_rewards_key_alone_lets_two_sweeps_grant_once(alice: User, bob: User, way: Way) -> None:
    with without_sources():
        assert grant_twice(bob, way) == [20]
        assert Coupon.objects.filter(kind="payout").count() == 1


@WAYS
def test_control_without_the_key_two_sweeps_grant_twice(alice: User, bob: User, way: Way) -> None:
    with without_constraint("a_reward_is_granted_once"), without_sources():
        assert len(grant_twice(bob, way)) > 1


def claw_back_twice(alice: User, bob: User) -> int:
    """Take a payout back that is spent, by two sweeps at once, with no lock between the two; count the debts."""
    settle(as_of=DUE, now=NOW)
    order = {"source": "test", "redemption_id": "o", "customer_id": alice.pk, "occurred_at": day(3, 2), "now": NOW}
    redeem(amount=Money(20, "USD"), **order)  # type: ignore[arg-type]
    record(chargeback(bob, "c", "20", "p"))
    track(now=NOW)
    with with_keys_only("reckon"):
        assert names(at_once(*[lambda: settle(as_of=day(3, 3), now=NOW)] * 2)) == ["done", "done"]
    return Debt.objects.count()


def test_the_clawbacks_key_alone_lets_two_sweeps_claw_back_once(alice: User, bob: User) -> None:
    with without_constraint("credits_debt_source_key"):
        assert claw_back_twice(alice, bob) == Clawback.objects.count() == 1


def test_the_debts_key_alone_lets_two_sweeps_open_one_debt(alice: User, bob: User) -> None:
    with without_constraint("a_clawback_happens_once"):
        assert claw_back_twice(alice, bob) == Clawback.objects.count() == 1


def test_control_without_the_keys_two_sweeps_open_two_debts(alice: User, bob: User) -> None:
    with without_constraint("a_clawback_happens_once"), without_constraint("credits_debt_source_key"):
        assert claw_back_twice(alice, bob) == 2


# Who holds something, and who goes on without it


def while_held(hold: Callable[[], object], job: Callable[[], object]) -> bool:
    """Do the job while another transaction holds something, until one of them waits; return whether the job waited."""
    holds, ended = Event(), Event()
    waited: list[bool] = []

    def holder() -> None:
        with transaction.atomic():
            hold()
            holds.set()
            until(lambda: bool(waiting()) or ended.is_set())
            waited.append(bool(waiting()))

    def other() -> None:
        assert holds.wait(LONGEST_WAIT)
        job()
        ended.set()

    assert names(at_once(holder, other)) == ["done", "done"]
    return waited[0]


def sweep_while_alice_is_held(alice: User, skip: AbstractContextManager[object]) -> bool:
    """Sweep a chunk a customer, and leave to others what they hold; return whether it waited for alice's account."""
    carols_friend = register("dave", referred_by=register("carol"))
    record(fact(carols_friend, "d", "20", day(1, 5)))
    with skip:
        waited = while_held(
            lambda: lock_accounts(customer_ids=[alice.pk]),
            lambda: settle(as_of=DUE, now=NOW, chunk_size=1, wait=False),
        )
    assert of(carols_friend).payout_granted.amount == 20
    return waited


def test_a_sweep_goes_on_without_a_customer_whom_another_holds(alice: User, bob: User) -> None:
    assert not sweep_while_alice_is_held(alice, nullcontext())
    assert of(bob).payout_granted.amount == 0
    settle(as_of=DUE, now=NOW)
    assert of(bob).payout_granted.amount == 20


def test_control_without_skipping_it_waits(alice: User, bob: User) -> None:
    def lock_and_wait(*, customer_ids: list[int], skip_locked: bool) -> list[int]:
        return lock_accounts(customer_ids=customer_ids)

    assert sweep_while_alice_is_held(alice, patch.object(settlement, "lock_accounts", lock_and_wait))


def claim(batch_ids: list[int]) -> None:
    tracking._ids(tracking.CLAIM, batches=batch_ids)


def track_while_batches_are_claimed(bob: User, skip: AbstractContextManager[object]) -> bool:
    """Track what others have not claimed; return whether that waited for what they have."""
    record(fact(bob, "claimed", "1", day(1, 6)))
    claimed = list(SpendBatch.objects.filter(applied_at=None).values_list("pk", flat=True))
    with skip:
        return while_held(lambda: claim(claimed), lambda: track(now=NOW, wait=False))


def ids_and_wait(statement: str, **parameters: Any) -> list[int]:
    return IDS(statement.replace("SKIP LOCKED", ""), **parameters)


IDS = tracking._ids


def test_a_tracking_leaves_what_another_has_claimed(bob: User) -> None:
    assert not track_while_batches_are_claimed(bob, nullcontext())
    assert of(bob).qualifying_spend.amount == 20
    track(now=NOW)
    assert of(bob).qualifying_spend.amount == 21


def test_control_without_skipping_it_waits_for_the_other(bob: User) -> None:
    assert track_while_batches_are_claimed(bob, patch.object(tracking, "_ids", ids_and_wait))


def track_the_untracked_while_one_is_held(bob: User, skip: AbstractContextManager[object]) -> bool:
    """Track newcomers but for those whom another transaction holds; return whether that waited."""
    carol = register("carol", referred_by=bob)
    with skip:
        return while_held(lambda: IDS(tracking.LOCK, referrals=[of(carol).pk]), lambda: track(now=NOW, wait=False))


def test_a_first_tracking_leaves_who_is_held(bob: User) -> None:
    assert not track_the_untracked_while_one_is_held(bob, nullcontext())


def test_control_without_skipping_the_first_tracking_waits(bob: User) -> None:
    assert track_the_untracked_while_one_is_held(bob, patch.object(tracking, "_ids", ids_and_wait))


def claim_twice(bob: User, lock: AbstractContextManager[None]) -> list[str]:
    """Let two trackings, at two instants, find one batch not applied."""
    record(fact(bob, "another", "1", day(1, 6)))
    jobs = [lambda seconds=seconds: track(now=NOW + timedelta(seconds=seconds)) for seconds in range(2)]
    with lock, meeting_before(tracking, "_recompute_all_but_poison", Meeting(2)):
        return names(at_once(*jobs))


def test_two_trackings_claim_a_batch_once(bob: User) -> None:
    assert claim_twice(bob, nullcontext()) == ["done", "done"]


def test_control_without_the_claim_one_of_them_fails(bob: User) -> None:
    """A batch is applied once: the database refuses another instant."""
    lock = replaced(tracking, "CLAIM", "FOR NO KEY UPDATE", "")
    assert claim_twice(bob, lock) == ["InternalError", "done"]


# What commits late


def track_young_before_old(bob: User, mark: AbstractContextManager[None]) -> Decimal:
    """Record a batch that commits after a younger one was tracked; return the qualifying spend in the end."""
    recorded, tracked = Event(), Event()

    def commit_late() -> None:
        with transaction.atomic():
            record(fact(bob, "old", "15", day(1, 5)))
            recorded.set()
            assert tracked.wait(LONGEST_WAIT)

    def overtake() -> None:
        assert recorded.wait(LONGEST_WAIT)
        record(fact(bob, "young", "10", day(1, 6)))
        track(now=NOW)
        tracked.set()

    with mark:
        assert names(at_once(commit_late, overtake)) == ["done", "done"]
        track(now=NOW)
    return Decimal(of(bob).qualifying_spend.amount)


def test_a_batch_that_commits_late_is_tracked_after_younger_ones(bob: User) -> None:
    assert track_young_before_old(bob, nullcontext()) == 45


@pytest.mark.untrue_rows
def test_control_a_high_water_mark_would_lose_it(bob: User) -> None:
    above = "id > (SELECT max(id) FROM billing_spendbatch WHERE applied_at IS NOT NULL)"
    assert track_young_before_old(bob, replaced(tracking, "UNAPPLIED", "applied_at IS NULL", above)) == 30


def hold(referral: Referral) -> FraudFlag:
    return open_flag(
        referral_id=referral.pk,
        rule="a rule",
        severity=FraudFlag.Severity.HOLD,
        evidence={},
        actor=None,
        reason="a test",
        now=NOW,
    )


def hold_between_list_and_locks(alice: User, bob: User) -> Decimal:
    """Open a hold that commits after a sweep has found its customers and before it locks them; return the grant."""

    def lock_later(*, customer_ids: list[int], skip_locked: bool) -> list[int]:
        assert names(at_once(lambda: hold(of(bob)))) == ["done"]
        return lock_accounts(customer_ids=customer_ids, skip_locked=skip_locked)

    with patch.object(settlement, "lock_accounts", lock_later):
        settle(as_of=DUE, now=NOW)
    return Decimal(of(bob).payout_granted.amount)


def test_a_hold_that_commits_before_the_locks_stops_the_sweep(alice: User, bob: User) -> None:
    assert hold_between_list_and_locks(alice, bob) == 0


def test_control_a_sweep_that_does_not_read_again_grants_in_spite_of_the_hold(alice: User, bob: User) -> None:
    with (
        replaced(settlement_sql, "LOCK_DUE_REFERRALS", "AND NOT held ", ""),
        replaced(plain_grants, "GRANT_PLAIN", "AND NOT referral.held ", ""),
    ):
        assert hold_between_list_and_locks(alice, bob) == 20


# What is parked


def park_twice(bob: User) -> int:
    rows = [Parked("7", ValueError("a test"), customer_id=bob.pk)]
    assert names(at_once(*[lambda: park(kind="settlement", rows=rows, now=NOW)] * 2)) == ["done", "done"]
    return ParkedRow.objects.count()


@pytest.mark.untrue_rows
def test_a_row_that_two_park_at_once_is_parked_once(bob: User) -> None:
    assert park_twice(bob) == 1
    assert ParkedRow.objects.get().tries == 2


@pytest.mark.untrue_rows
def test_control_without_the_key_it_is_parked_twice(bob: User) -> None:
    conflict = parking.PARK[parking.PARK.index("ON CONFLICT") :]
    with without_constraint("a_row_is_parked_once"), replaced(parking, "PARK", conflict, ""):
        assert park_twice(bob) == 2
