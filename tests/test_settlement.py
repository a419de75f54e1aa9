"""Settlement on the database: TERMS.md's worked examples, the borders of every date, and sweeps that meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection, connections, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from djmoney.money import Money

from accounts.models import ParkedRow, User
from credits.models import Coupon, CouponEntry, CreditAccount, Debt
from credits.operations import expire_coupons, redeem
from referrals.models import FraudFlag, Referral, Reward
from referrals.operations import (
    Due,
    Settled,
    disqualify,
    lift_refusal,
    open_flag,
    refuse,
    release_flag,
    settle,
    settlement_sql,
    track,
)
from referrals.operations import settlement as settlement_module
from referrals.operations.plain_grants import PlainGrants, grant_plain
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, refund, register
from tests.races.racing import Meeting, meeting_after
from tests.sweeps import nothing_is_plain

pytestmark = pytest.mark.django_db(transaction=True)

TICK = timedelta(microseconds=1)
PAYOUT_DUE = day(2, 19)
BONUS_DUE = day(5, 1)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    return register("bob", referred_by=alice)


@pytest.fixture
def example_1(bob: User) -> User:
    record(fact(bob, "ecs", "12", day(1, 5)), fact(bob, "rds", "9", day(1, 20), product="rds"))
    return bob


def settle_at(at: datetime, **options: object) -> Settled:
    return settle(as_of=at, now=NOW, **options)  # type: ignore[arg-type]


def referral(friend: User) -> Referral:
    return Referral.objects.get(friend=friend)


def granted(friend: User) -> tuple[Decimal, Decimal]:
    found = referral(friend)
    return found.payout_granted.amount, found.bonus_granted.amount


def coupons(of: User, kind: str) -> list[tuple[Decimal, Decimal]]:
    """Return amount and remaining of the customer's coupons of this kind, in the order issued."""
    found = Coupon.objects.filter(customer_id=of.pk, kind=kind).order_by("pk")
    return [(coupon.amount.amount, coupon.remaining.amount) for coupon in found]


def spend_credit(of: User, amount: str, at: datetime, redemption_id: str = "order") -> None:
    redeem(
        source="test",
        redemption_id=redemption_id,
        customer_id=of.pk,
        amount=Money(amount, "USD"),
        occurred_at=at,
        now=NOW,
    )


def debts(of: User) -> list[tuple[Decimal, Decimal]]:
    return [
        (debt.amount.amount, debt.outstanding.amount) for debt in Debt.objects.filter(customer=of.pk).order_by("pk")
    ]


def test_the_payout_comes_at_its_due_instant_and_not_before(alice: User, example_1: User) -> None:
    assert settle_at(PAYOUT_DUE - TICK).granted == 0
    assert settle_at(PAYOUT_DUE).granted == 1
    (coupon,) = Coupon.objects.filter(customer_id=alice.pk, kind="payout")
    assert (coupon.amount.amount, coupon.friend, coupon.issued_at) == (20, example_1, PAYOUT_DUE)
    assert coupon.expires_at == PAYOUT_DUE + timedelta(days=180)


def test_the_bonus_comes_at_its_due_instant_and_not_before(alice: User, example_1: User) -> None:
    settle_at(BONUS_DUE - TICK)
    assert granted(example_1) == (20, 0)
    settle_at(BONUS_DUE)
    assert granted(example_1) == (20, Decimal("0.10"))
    assert coupons(alice, "bonus") == [(Decimal("0.10"), Decimal("0.10"))]


def test_settling_late_moves_the_instant_of_issue_and_loses_nothing(alice: User, example_1: User) -> None:
    settle_at(day(8, 1))
    assert set(Coupon.objects.filter(customer_id=alice.pk).exclude(kind="trial").values_list("kind", "issued_at")) == {
        ("payout", day(8, 1)),
        ("bonus", day(8, 1)),
    }


def test_settling_again_at_the_same_instant_changes_nothing(alice: User, example_1: User) -> None:
    settle_at(BONUS_DUE)
    entries = CouponEntry.objects.count()
    assert settle_at(BONUS_DUE) == Settled()
    assert CouponEntry.objects.count() == entries


def test_a_late_payment_tops_the_bonus_up(alice: User, example_1: User) -> None:
    settle_at(BONUS_DUE)
    record(fact(example_1, "late", "100", day(2, 1)))
    settle_at(BONUS_DUE)
    assert coupons(alice, "bonus") == [(Decimal("0.10"), Decimal("0.10")), (Decimal(10), Decimal(10))]
    assert list(Reward.objects.filter(kind="bonus").order_by("n").values_list("n", "amount")) == [
        (1, Decimal("0.10")),
        (2, 10),
    ]


def test_example_7_spent_credit_becomes_a_debt_and_the_dispute_won_settles_it(alice: User, example_1: User) -> None:
    settle_at(BONUS_DUE)
    spend_credit(alice, "15", day(5, 2))
    record(chargeback(example_1, "c", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    assert debts(alice) == [(15, 15)]
    assert coupons(alice, "payout") == [(20, 0)]
    assert coupons(alice, "bonus") == [(Decimal("0.10"), 0)]
    assert granted(example_1) == (0, 0)
    record(dispute_won(example_1, "w", "12", "ecs", day(5, 5)))
    settle_at(day(5, 6))
    assert debts(alice) == [(15, 0)]
    assert coupons(alice, "payout") == [(20, 0), (5, 5)]
    assert coupons(alice, "bonus") == [(Decimal("0.10"), 0), (Decimal("0.10"), Decimal("0.10"))]
    assert Reward.objects.get(kind="payout", n=2).debts_settled.amount == 15


def test_example_8_expired_credit_is_let_go_and_does_not_come_back(alice: User, example_1: User) -> None:
    settle_at(PAYOUT_DUE)
    spend_credit(alice, "5", day(3, 1))
    settle_at(PAYOUT_DUE + timedelta(days=180), due=[Due.EXPIRY])
    assert granted(example_1)[0] == 20
    record(chargeback(example_1, "c", "12", "ecs", day(9, 1)))
    settle_at(day(9, 2))
    assert debts(alice) == [(5, 5)]
    assert (granted(example_1)[0], referral(example_1).payout_let_go.amount) == (15, 15)
    record(dispute_won(example_1, "w", "12", "ecs", day(9, 3)))
    settle_at(day(9, 4))
    assert debts(alice) == [(5, 0)]
    assert len(coupons(alice, "payout")) == 1
    assert granted(example_1)[0] == 20


def test_the_credit_expires_at_its_instant_and_not_before(alice: User, example_1: User) -> None:
    settle_at(PAYOUT_DUE, due=[Due.PAYOUT])
    end = PAYOUT_DUE + timedelta(days=180)
    settle_at(end - TICK)
    assert coupons(alice, "payout") == [(20, 20)]
    settle_at(end)
    assert coupons(alice, "payout") == [(20, 0)]
    entry = CouponEntry.objects.get(type="EXPIRE", coupon__kind="payout")
    assert (entry.amount.amount, entry.occurred_at) == (-20, end)


def test_a_grant_settles_the_oldest_debt_of_any_friend_first(alice: User, example_1: User) -> None:
    carol, dave = (register(name, referred_by=alice) for name in ("carol", "dave"))
    record(fact(carol, "carol-1", "25", day(1, 6)))
    settle_at(day(3, 1))
    spend_credit(alice, "40", day(3, 2))
    record(refund(carol, "r1", "25", "carol-1", day(3, 3)))
    settle_at(day(3, 3))
    record(refund(example_1, "r2", "12", "ecs", day(3, 4)))
    settle_at(day(3, 4))
    assert debts(alice) == [(20, 20), (20, 20)]
    record(fact(dave, "dave-1", "300", day(3, 5)))
    settle_at(day(5, 1))
    assert debts(alice) == [(20, 0), (20, 0)]
    assert coupons(alice, "bonus")[-1] == (8, 8)
    assert list(
        Reward.objects.filter(referral__friend=dave).order_by("-kind").values_list("amount", "debts_settled")
    ) == [
        (20, 20),
        (28, 20),
    ]


def test_newest_coupons_are_revoked_first(alice: User, example_1: User) -> None:
    settle_at(BONUS_DUE)
    record(fact(example_1, "late", "100", day(2, 1)))
    settle_at(BONUS_DUE)
    record(refund(example_1, "r", "50", "late"))
    settle_at(day(6, 1))
    assert coupons(alice, "bonus") == [(Decimal("0.10"), Decimal("0.10")), (10, 5)]


def test_a_hold_stops_the_grants_of_that_referral_and_nothing_else(alice: User, example_1: User) -> None:
    carol = register("carol", referred_by=alice)
    record(fact(carol, "carol-1", "25", day(1, 6)))
    track(now=NOW)
    flag = open_flag(
        referral_id=referral(example_1).pk,
        rule="same card",
        severity=FraudFlag.Severity.HOLD,
        evidence={},
        actor=None,
        reason="one card",
        now=NOW,
    )
    settle_at(BONUS_DUE)
    assert granted(example_1) == (0, 0)
    assert granted(carol) == (20, Decimal("0.50"))
    release_flag(flag_id=flag.pk, actor=None, reason="a family card", now=NOW)
    settle_at(day(6, 1))
    assert granted(example_1) == (20, Decimal("0.10"))
    assert coupons(alice, "payout") == [(20, 20), (20, 20)]


def test_a_refused_referral_is_clawed_back_and_restored_when_the_refusal_is_lifted(
    alice: User, example_1: User
) -> None:
    settle_at(BONUS_DUE)
    refuse(referral_id=referral(example_1).pk, actor=None, reason="one person", now=day(5, 2))
    settle_at(day(5, 3))
    assert granted(example_1) == (0, 0)
    assert coupons(alice, "payout") == [(20, 0)]
    assert coupons(example_1, "welcome") == [(5, 0)]
    lift_refusal(referral_id=referral(example_1).pk, actor=None, reason="twins", now=day(5, 4))
    settle_at(day(5, 5))
    assert granted(example_1) == (20, Decimal("0.10"))
    assert coupons(example_1, "welcome") == [(5, 0)]


def test_nothing_more_is_granted_to_a_disqualified_account(alice: User, example_1: User) -> None:
    disqualify(user_id=alice.pk, actor=None, reason="card theft", refuse_referrals=[], now=NOW)
    settle_at(BONUS_DUE)
    assert granted(example_1) == (0, 0)


def test_each_friend_keeps_the_terms_of_their_registration(alice: User) -> None:
    from referrals.models import ProgrammeTerms

    ProgrammeTerms.objects.create(
        starts_at=day(2, 1), payout=Decimal(50), qualifying_threshold=Decimal(10), payout_delay_days=5
    )
    bob = register("bob", referred_by=alice, at=day(2, 1) - TICK)
    carol = register("carol", referred_by=alice, at=day(2, 1))
    record(fact(bob, "b", "15", day(2, 2)), fact(carol, "c", "15", day(2, 2)))
    settle_at(day(2, 7))
    assert granted(bob) == (0, 0)
    assert granted(carol) == (50, 0)


@pytest.mark.parametrize("chunk_size", [1, 2, 7])
def test_the_size_of_a_chunk_is_nothing(alice: User, chunk_size: int) -> None:
    referrers = [register(f"referrer-{place}") for place in range(5)]
    for place in range(12):
        friend = register(f"friend-{place}", referred_by=referrers[place % 5])
        record(fact(friend, f"p{place}", "25", day(1, 5)))
    assert settle_at(BONUS_DUE, chunk_size=chunk_size).granted == 24
    assert Coupon.objects.filter(kind="payout").aggregate(total=Sum("amount"))["total"] == 240


def test_a_sweep_costs_the_same_statements_however_much_is_due() -> None:
    def statements(prefix: str, size: int) -> int:
        for place in range(size):
            referrer = register(f"{prefix}-r{place}")
            friend = register(f"{prefix}-f{place}", referred_by=referrer)
            record(fact(friend, f"{prefix}-p{place}", "25", day(1, 5)))
        track(now=NOW)
        with CaptureQueriesContext(connection) as captured:
            assert settle_at(BONUS_DUE).granted == 2 * size
        return len(captured)

    assert statements("few", 2) == statements("many", 40)


def in_threads(*jobs: object) -> list[object]:
    """Run the jobs at once, each on a connection of its own; return what they raised."""
    raised: list[object] = []

    def run(job: object) -> None:
        try:
            job()  # type: ignore[operator]
        except Exception as problem:  # noqa: BLE001 - the test looks at what was raised
            raised.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def test_two_beats_at_once_grant_once(alice: User) -> None:
    for place in range(30):
        referrer = register(f"r{place}")
        friend = register(f"f{place}", referred_by=referrer)
        record(fact(friend, f"p{place}", "25", day(1, 5)))
    jobs = [lambda: settle_at(BONUS_DUE, chunk_size=3)] * 4
    assert in_threads(*jobs) == []
    assert Coupon.objects.filter(kind__in=["payout", "bonus"]).count() == 60
    assert Reward.objects.filter(n__gt=1).count() == 0


@pytest.mark.parametrize(("step", "way"), [("grant_plain", nullcontext), ("reckon", nothing_is_plain)])
def test_without_the_lock_two_sweeps_collide_and_the_key_decides(
    alice: User, example_1: User, step: str, way: Callable[[], AbstractContextManager[Any]]
) -> None:
    """The control: with the CreditAccount and Referral locks off, both sweeps come to the same grant."""
    unlocked = settlement_sql.LOCK_DUE_REFERRALS.replace("FOR NO KEY UPDATE", "")
    with (
        patch.object(settlement_module, "lock_accounts", lambda customer_ids, skip_locked: customer_ids),
        patch.object(settlement_sql, "LOCK_DUE_REFERRALS", unlocked),
        way(),
        meeting_after(settlement_module, step, Meeting(2)),
    ):
        raised = in_threads(*[lambda: settle_at(PAYOUT_DUE)] * 2)
    assert raised == []
    assert ParkedRow.objects.get().error.startswith("IntegrityError 23505"), "one of them was undone"
    assert granted(example_1) == (20, 0)
    assert coupons(alice, "payout") == [(20, 20)]


def test_a_customer_locked_elsewhere_is_settled_last_and_not_lost(alice: User, example_1: User) -> None:
    carol = register("carol")
    dave = register("dave", referred_by=carol)
    record(fact(dave, "d", "25", day(1, 5)))
    track(now=NOW)
    held, release = threading.Event(), threading.Event()

    def hold_the_lock() -> None:
        with transaction.atomic():
            list(CreditAccount.objects.select_for_update(no_key=True).filter(pk=alice.pk))
            held.set()
            release.wait(20)

    def sweep() -> None:
        held.wait(20)
        threading.Timer(0.5, release.set).start()
        settle_at(PAYOUT_DUE, chunk_size=1)

    assert in_threads(hold_the_lock, sweep) == []
    assert granted(example_1)[0] == granted(dave)[0] == 20


def test_a_batch_that_commits_late_is_tracked_after_younger_ones(alice: User, bob: User) -> None:
    opened, go_on = threading.Event(), threading.Event()

    def commit_late() -> None:
        with transaction.atomic():
            record(fact(bob, "late", "15", day(1, 5)))
            opened.set()
            go_on.wait(20)

    def overtake() -> None:
        opened.wait(20)
        record(fact(bob, "young", "10", day(1, 6)))
        track(now=NOW)
        assert referral(bob).qualifying_spend.amount == 10
        go_on.set()

    assert in_threads(commit_late, overtake) == []
    track(now=NOW)
    assert referral(bob).qualifying_spend.amount == 25


def test_the_welcome_credit_and_the_trial_are_as_the_terms_say(alice: User) -> None:
    friend = register("erin", referred_by=alice, account_type="enterprise")
    assert coupons(friend, "welcome") == [(10, 10)]
    assert coupons(friend, "trial") == [(1200, 1200)]
    assert coupons(alice, "trial") == [(300, 300)]
    assert coupons(alice, "welcome") == []
    trial = Coupon.objects.get(customer_id=friend.pk, kind="trial")
    assert (trial.issued_at, trial.expires_at) == (JANUARY, JANUARY + timedelta(days=365))


def test_what_becomes_due_during_a_sweep_waits_for_the_next_one(alice: User, example_1: User) -> None:
    """Only what is locked is granted: a hold on anything else would not wait for the sweep."""
    carol = register("carol", referred_by=alice)
    track(now=NOW)
    expire = expire_coupons

    def meanwhile(**options: object) -> int:
        def pay() -> None:
            record(fact(carol, "carol-1", "25", day(1, 6)))
            track(now=NOW)

        assert in_threads(pay) == []
        return expire(**options)  # type: ignore[arg-type]

    with patch.object(settlement_module, "expire_coupons", meanwhile):
        settle_at(PAYOUT_DUE, due=[Due.PAYOUT])
    assert granted(example_1)[0] == 20
    assert granted(carol)[0] == 0
    settle_at(PAYOUT_DUE)
    assert granted(carol)[0] == 20


def test_a_hold_waits_for_the_sweep_that_grants_and_stops_the_next_one(alice: User, example_1: User) -> None:
    order: list[str] = []

    def hold() -> None:
        open_flag(
            referral_id=referral(example_1).pk,
            rule="a test",
            severity=FraudFlag.Severity.HOLD,
            evidence={},
            actor=None,
            reason="a test",
            now=NOW,
        )
        order.append("held")

    thread = threading.Thread(target=lambda: in_threads(hold))

    def grant_while_staff_hold(**options: Any) -> PlainGrants:
        thread.start()
        thread.join(0.5)
        plain = grant_plain(**options)
        order.append("granted")
        return plain

    with patch.object(settlement_module, "grant_plain", grant_while_staff_hold):
        settle_at(PAYOUT_DUE)
    thread.join(20)
    assert order == ["granted", "held"]
    assert granted(example_1)[0] == 20
    settle_at(BONUS_DUE)
    assert granted(example_1)[1] == 0
