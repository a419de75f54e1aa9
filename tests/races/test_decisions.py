"""What staff and rules decide, against one another and against sweeps, orders and verification. Each lock and key has
its control: without it, the race is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from django.db.models import Model, QuerySet
from djmoney.money import Money

from accounts.models import User
from accounts.operations import pass_verification
from credits.models import Coupon, CreditAccount
from credits.operations import redeem, redemptions
from referrals.models import Decision, FraudFlag, ProgrammeTerms, Referral, ReferralLink
from referrals.operations import (
    UnableToDecide,
    decisions,
    disqualify,
    enterprise,
    lift_refusal,
    open_flag,
    refuse,
    reinstate,
    release_flag,
    settle,
    settlement,
    switch_link_off,
    switch_link_on,
    track,
)
from referrals.operations.terms import add_terms
from tests.books import breaches
from tests.database import empty_database
from tests.facts import JANUARY, NOW, day, fact, record, register
from tests.newcomers import identity, referrer
from tests.races.racing import (
    LONGEST_WAIT,
    Meeting,
    at_once,
    meeting_after,
    names,
    replaced,
    until,
    waiting,
    without_condition,
    without_constraint,
    without_locks,
    without_row_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

DUE = day(3, 1)
"""Of the payout that alice earns by bob."""

BY: dict[str, Any] = {"actor": None, "reason": "a test", "now": NOW}

EARLY = {**BY, "now": JANUARY + timedelta(days=1)}
"""While the welcome credit is still good."""


@pytest.fixture
def alice() -> User:
    return referrer("alice", at=JANUARY).owner


@pytest.fixture
def bob(alice: User) -> User:
    return register("bob", referred_by=alice)


@pytest.fixture
def referral(bob: User) -> Referral:
    return Referral.objects.get(friend=bob)


def hold(referral: Referral, rule: str = "a rule") -> FraudFlag:
    return open_flag(referral_id=referral.pk, rule=rule, severity="hold", evidence={}, **BY)


def one_first(first: Callable[[], object], second: Callable[[], object]) -> list[str]:
    """Carry out the first, and let it commit once the second waits for it or has ended; say how both ended."""
    carried_out, ended = Event(), Event()

    def first_of_both() -> None:
        with transaction.atomic():
            first()
            carried_out.set()
            until(lambda: bool(waiting()) or ended.is_set())

    def second_of_both() -> None:
        assert carried_out.wait(LONGEST_WAIT)
        try:
            second()
        finally:
            ended.set()

    return names(at_once(first_of_both, second_of_both))


# The same decision twice


Prepare = Callable[[User, Referral], object]

DECISIONS: dict[str, tuple[Prepare | None, Prepare, type[Model], dict[str, Any]]] = {
    "refuse": (None, lambda _, of: refuse(referral_id=of.pk, **BY), Referral, {"refused_at": None}),
    "lift_refusal": (
        lambda _, of: refuse(referral_id=of.pk, **BY),
        lambda _, of: lift_refusal(referral_id=of.pk, **BY),
        Referral,
        {"refused_at__isnull": False},
    ),
    "release_flag": (
        lambda _, of: hold(of),
        lambda _, of: release_flag(flag_id=FraudFlag.objects.get().pk, **BY),
        FraudFlag,
        {"closed_at": None},
    ),
    "disqualify": (None, lambda alice, _: disqualify(user_id=alice.pk, **BY), User, {"disqualified_at": None}),
    "reinstate": (
        lambda alice, _: disqualify(user_id=alice.pk, **BY),
        lambda alice, _: reinstate(user_id=alice.pk, **BY),
        User,
        {"disqualified_at__isnull": False},
    ),
    "switch_link_off": (
        None,
        lambda alice, _: switch_link_off(user_id=alice.pk, **BY),
        ReferralLink,
        {"switched_off_at": None},
    ),
    "switch_link_on": (
        lambda alice, _: switch_link_off(user_id=alice.pk, **BY),
        lambda alice, _: switch_link_on(user_id=alice.pk, **BY),
        ReferralLink,
        {"switched_off_at__isnull": False},
    ),
}


def decide_twice(alice: User, referral: Referral, name: str, condition: AbstractContextManager[object]) -> list[str]:
    """Take one decision twice at once; return how both ended."""
    before, decide, _, _ = DECISIONS[name]
    if before:
        before(alice, referral)
    with condition, meeting_after(decisions, "_require_reason", Meeting(2)):
        ends = names(at_once(*[lambda: decide(alice, referral)] * 2))
    assert Decision.objects.filter(action=name.removesuffix("_flag")).count() == ends.count("done")
    return ends


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_that_is_taken_twice_at_once_is_taken_once(alice: User, referral: Referral, name: str) -> None:
    assert decide_twice(alice, referral, name, nullcontext()) == ["already", "done"]


@pytest.mark.untrue_rows
@pytest.mark.parametrize("name", DECISIONS)
def test_control_without_its_condition_it_is_taken_twice(alice: User, referral: Referral, name: str) -> None:
    *_, model, condition = DECISIONS[name]
    assert decide_twice(alice, referral, name, without_condition(model, **condition)) == ["done", "done"]


def flag_twice(referral: Referral) -> list[str]:
    """Let a rule open its flag twice at once, with no lock between the two."""
    with without_row_locks(Referral), meeting_after(decisions, "_lock_referrals", Meeting(2)):
        return names(at_once(*[lambda: hold(referral)] * 2))


def test_the_key_alone_gives_a_rule_one_open_flag(referral: Referral) -> None:
    assert flag_twice(referral) == ["done", "done"]
    assert FraudFlag.objects.count() == Decision.objects.count() == 1


def test_control_without_the_key_it_has_two(referral: Referral) -> None:
    conflict = decisions.OPEN_FLAG[decisions.OPEN_FLAG.index("ON CONFLICT") : decisions.OPEN_FLAG.index("RETURNING")]
    with (
        without_constraint("a_rule_has_one_open_flag_on_a_referral"),
        replaced(decisions, "OPEN_FLAG", conflict, ""),
    ):
        flag_twice(referral)
        assert FraudFlag.objects.filter(closed_at=None).count() == 2


def add_terms_twice() -> list[str]:
    starts_at = NOW + timedelta(days=10)
    return names(at_once(*[lambda: add_terms(terms=ProgrammeTerms(starts_at=starts_at), now=NOW)] * 2))


def test_two_versions_of_the_terms_at_once_do_not_start_at_one_instant() -> None:
    assert add_terms_twice() == ["done", "starts_at"]


def test_control_without_the_key_they_do() -> None:
    with without_constraint("referrals_programmeterms_starts_at_key"):
        assert add_terms_twice() == ["done", "done"]


# A decision against another


def release_while_another_rule_holds(referral: Referral, lock: AbstractContextManager[None]) -> bool:
    """Release the only hold while another one is opened and has not committed yet; return whether it is held."""
    first = hold(referral, "first rule")
    with lock:
        ends = one_first(lambda: hold(referral, "second rule"), lambda: release_flag(flag_id=first.pk, **BY))
    assert ends == ["done", "done"]
    referral.refresh_from_db()
    return referral.held


def test_a_release_leaves_what_another_rule_holds(referral: Referral) -> None:
    assert release_while_another_rule_holds(referral, nullcontext())


@pytest.mark.untrue_rows
def test_control_without_the_lock_the_release_does_not_see_the_other_hold(referral: Referral) -> None:
    assert not release_while_another_rule_holds(referral, without_row_locks(Referral))


def reinstate_slowly(alice: User, lock: AbstractContextManager[None]) -> bool:
    """Reinstate alice; once that has read since when she is disqualified, reinstate and disqualify her anew.

    Reinstate her again where that came last; return whether her link is on then.
    """
    disqualify(user_id=alice.pk, **BY)
    later = {**BY, "now": NOW + timedelta(hours=1)}
    has_read, ended = Event(), Event()
    update = QuerySet.update

    def update_late(rows: QuerySet[Any], **values: Any) -> int:
        if rows.model is User and not has_read.is_set():
            has_read.set()
            until(lambda: bool(waiting()) or ended.is_set())
        return update(rows, **values)

    def anew() -> None:
        assert has_read.wait(LONGEST_WAIT)
        for decide in (reinstate, disqualify):
            with suppress(UnableToDecide):  # it is so already
                decide(user_id=alice.pk, **later)
        ended.set()

    with lock, patch.object(QuerySet, "update", update_late):
        assert names(at_once(lambda: reinstate(user_id=alice.pk, **BY), anew)) == ["done", "done"]
    if User.objects.get(pk=alice.pk).disqualified_at:
        reinstate(user_id=alice.pk, **later)
    return ReferralLink.objects.get(owner=alice).switched_off_at is None


def test_whoever_is_reinstated_has_the_link_back(alice: User) -> None:
    assert reinstate_slowly(alice, nullcontext())


def test_control_without_the_lock_the_link_stays_off(alice: User) -> None:
    assert not reinstate_slowly(alice, without_row_locks(User))


def switch_on_while_it_is_disqualified(alice: User, lock: AbstractContextManager[None]) -> list[str]:
    switch_link_off(user_id=alice.pk, **BY)
    with lock:
        return one_first(lambda: disqualify(user_id=alice.pk, **BY), lambda: switch_link_on(user_id=alice.pk, **BY))


def test_a_link_is_not_switched_on_while_its_account_is_disqualified(alice: User) -> None:
    assert switch_on_while_it_is_disqualified(alice, nullcontext()) == ["disqualified", "done"]


def test_control_without_the_lock_it_is(alice: User) -> None:
    assert switch_on_while_it_is_disqualified(alice, without_locks(decisions)) == ["done", "done"]
    assert "disqualified_account_is_stopped" in breaches()
    empty_database()


# A decision against a sweep


def sweep_while_the_referrer_is_disqualified(alice: User, bob: User, lock: AbstractContextManager[None]) -> Decimal:
    """Disqualify the referrer, and let that commit once a sweep has found a payout due; return what was granted."""
    record(fact(bob, "p", "20", day(1, 5)))
    track(now=NOW)
    with lock:
        ends = one_first(
            lambda: disqualify(user_id=alice.pk, refuse_referrals=[], **BY), lambda: settle(as_of=DUE, now=NOW)
        )
    assert ends == ["done", "done"]
    return Decimal(Referral.objects.get(friend=bob).payout_granted.amount)


def test_a_disqualification_that_commits_first_stops_the_sweep(alice: User, bob: User) -> None:
    assert sweep_while_the_referrer_is_disqualified(alice, bob, nullcontext()) == 0


def test_control_without_the_lock_the_sweep_grants_to_a_disqualified_account(alice: User, bob: User) -> None:
    assert sweep_while_the_referrer_is_disqualified(alice, bob, without_locks(settlement)) == 20


@pytest.mark.parametrize("first", ["sweep", "reinstatement"])
def test_what_a_disqualification_stopped_is_granted_once_after_a_reinstatement(
    alice: User, bob: User, first: str
) -> None:
    """Whichever commits first: the sweep that came too early leaves it to the next one."""
    record(fact(bob, "p", "20", day(1, 5)))
    disqualify(user_id=alice.pk, refuse_referrals=[], **BY)
    steps: list[Callable[[], object]] = [
        lambda: settle(as_of=DUE, now=NOW),
        lambda: reinstate(user_id=alice.pk, **BY),
    ]
    assert one_first(*(steps if first == "sweep" else reversed(steps))) == ["done", "done"]
    assert not CreditAccount.objects.get(pk=alice.pk).frozen_at
    settle(as_of=DUE, now=NOW)
    settle(as_of=DUE, now=NOW)
    assert Coupon.objects.get(kind="payout").amount.amount == 20


# A decision against an order, and against verification


def order_by(customer: User) -> Callable[[], object]:
    return lambda: redeem(
        source="console",
        redemption_id="order",
        customer_id=customer.pk,
        amount=Money(5, "USD"),
        occurred_at=day(1, 2),
        now=NOW,
    )


def order_while_disqualified(bob: User, lock: AbstractContextManager[None]) -> list[str]:
    with lock:
        return one_first(lambda: disqualify(user_id=bob.pk, **BY), order_by(bob))


def test_an_order_waits_for_a_disqualification_and_finds_the_credit_frozen(bob: User) -> None:
    assert order_while_disqualified(bob, nullcontext()) == ["done", "insufficient"]


def test_control_without_the_lock_it_spends_what_is_being_frozen(bob: User) -> None:
    assert order_while_disqualified(bob, without_locks(redemptions)) == ["done", "done"]


def refuse_while_the_friend_orders(bob: User, referral: Referral, lock: AbstractContextManager[None]) -> list[str]:
    with lock:
        return one_first(order_by(bob), lambda: refuse(referral_id=referral.pk, **EARLY))


def test_a_refusal_revokes_what_an_order_leaves_of_the_welcome_credit(bob: User, referral: Referral) -> None:
    assert refuse_while_the_friend_orders(bob, referral, nullcontext()) == ["done", "done"]
    assert Coupon.objects.get(kind="welcome").redeemed.amount == 5


def test_control_without_the_lock_the_refusal_would_revoke_what_is_spent(bob: User, referral: Referral) -> None:
    assert refuse_while_the_friend_orders(bob, referral, without_locks(decisions)) == ["IntegrityError", "done"]


def verify_while_refused(bob: User, referral: Referral, lock: AbstractContextManager[None]) -> set[str]:
    """Refuse a friend who is being verified as a company; return the kinds of what verification brought."""
    with lock:
        ends = one_first(
            lambda: refuse(referral_id=referral.pk, **EARLY),
            lambda: pass_verification(
                user_id=bob.pk, identity=identity("P2"), account_type="enterprise", now=EARLY["now"]
            ),
        )
    assert ends == ["done", "done"]
    return set(Coupon.objects.filter(source__contains="-upgrade:").values_list("kind", flat=True))


def test_a_refusal_that_commits_first_keeps_the_welcome_difference_back(bob: User, referral: Referral) -> None:
    assert verify_while_refused(bob, referral, nullcontext()) == {"trial"}


def test_control_without_the_lock_a_refused_friend_gets_it(bob: User, referral: Referral) -> None:
    assert verify_while_refused(bob, referral, without_locks(enterprise)) == {"trial", "welcome"}
    assert "refused_friend_has_no_welcome_credit" in breaches()
    empty_database()
