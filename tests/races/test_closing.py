"""A closing against sweeps, orders, another closing, and two customers after one address. Each lock and key has its
control: without it, the race is lost."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from djmoney.money import Money

from accounts.models import KnownIdentifier, User
from accounts.operations import change_address
from accounts.operations import profile as profile_operations
from credits.models import Coupon
from credits.operations import coupons, redeem, redemptions
from referrals.models import Reward
from referrals.operations import close_account, closing, plain_grants, settle, settlement, settlement_sql, track
from tests.books import breaches
from tests.facts import JANUARY, NOW, chargeback, day, fact, record, register
from tests.newcomers import referrer
from tests.races.racing import (
    Meeting,
    at_once,
    meeting_after,
    meeting_before,
    names,
    replaced,
    without_constraint,
    without_locks,
    without_row_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

DUE = day(3, 1)
"""Of the payout that alice earns by bob."""

NEW = "new@example.com"


@pytest.fixture
def alice() -> User:
    alice = referrer("alice", at=JANUARY).owner
    record(fact(register("bob", referred_by=alice), "bob-25", "25", day(1, 5)))
    track(now=NOW)
    return alice


def left(user: User) -> Decimal:
    return sum((coupon.remaining.amount for coupon in Coupon.objects.filter(customer=user.pk)), Decimal(0))


# The payout sweep


def close_while_it_is_paid(alice: User, locks: AbstractContextManager[object]) -> None:
    """Let the sweep and the closing meet when both have looked at what there is, unless one waits for the other."""
    meeting = Meeting(2)
    with locks, meeting_after(closing, "revoke_coupons", meeting), meeting_after(settlement, "expire_coupons", meeting):
        ends = at_once(
            lambda: close_account(user_id=alice.pk, now=DUE),
            lambda: settle(as_of=DUE, now=DUE),
        )
    assert names(ends) == ["done", "done"]


def test_a_payout_that_falls_due_meanwhile_is_granted_before_and_revoked_or_not_at_all(alice: User) -> None:
    close_while_it_is_paid(alice, nullcontext())
    assert left(alice) == 0
    assert Coupon.objects.filter(kind="payout").count() == Reward.objects.count()


@pytest.mark.untrue_rows
def test_control_without_the_lock_it_is_left_on_a_closed_account(alice: User) -> None:
    close_while_it_is_paid(alice, without_locks(closing, settlement))
    assert left(alice) == 20
    assert "closed_account_has_nothing_left" in breaches()


def settle_after_the_closing(alice: User, at: datetime) -> str:
    """Close the account when the sweep has found its customer, and has no lock yet."""
    find = settlement._customers

    def find_and_close(*args: Any) -> list[int]:
        found = find(*args)
        close_account(user_id=alice.pk, now=at)
        return found

    with patch.object(settlement, "_customers", find_and_close):
        return str(settle(as_of=at, now=at))


def test_what_was_found_due_before_the_closing_is_not_granted_after_it(alice: User) -> None:
    assert "customers=1 expired=0 clawed_back=0 granted=0" in settle_after_the_closing(alice, DUE)
    assert left(alice) == 0


@pytest.mark.untrue_rows
def test_control_without_its_clause_it_is_granted(alice: User) -> None:
    with replaced(plain_grants, "GRANT_PLAIN", "referrer_id AND closed_at IS NOT NULL", "referrer_id AND false"):
        assert "granted=1" in settle_after_the_closing(alice, DUE)
    assert left(alice) == 20


def lose_what_was_granted() -> None:
    settle(as_of=DUE, now=DUE)
    record(chargeback("bob", "lost", "25", "bob-25"))
    track(now=NOW)


def test_what_was_found_overpaid_before_the_closing_is_not_taken_back_after_it(alice: User) -> None:
    lose_what_was_granted()
    assert "customers=1 expired=0 clawed_back=0" in settle_after_the_closing(alice, DUE)


@pytest.mark.untrue_rows
def test_control_without_its_clause_it_is_taken_back(alice: User) -> None:
    lose_what_was_granted()
    with replaced(settlement_sql, "DUE_REFERRALS", "referrer.closed_at IS NULL AND", ""):
        assert "clawed_back=1" in settle_after_the_closing(alice, DUE)


# An order


def close_while_it_is_spent(alice: User, locks: AbstractContextManager[object]) -> list[str]:
    settle(as_of=DUE, now=DUE)
    meeting = Meeting(2)
    amount = Money(20, "USD")
    with locks, meeting_before(coupons, "revoke_amounts", meeting), meeting_after(redemptions, "_purses", meeting):
        ends = at_once(
            lambda: close_account(user_id=alice.pk, now=DUE),
            lambda: redeem(
                source="t", redemption_id="o", customer_id=alice.pk, amount=amount, occurred_at=DUE, now=DUE
            ),
        )
    return names(ends)


def test_an_order_pays_with_the_credit_before_it_is_revoked_or_finds_none(alice: User) -> None:
    assert close_while_it_is_spent(alice, nullcontext()) in (["done", "done"], ["done", "insufficient"])
    assert left(alice) == 0


def test_control_without_the_lock_both_take_the_same_credit(alice: User) -> None:
    assert close_while_it_is_spent(alice, without_locks(closing, redemptions)) == ["IntegrityError", "done"]


# Another closing


def close_twice(alice: User, locks: AbstractContextManager[object]) -> list[str]:
    with locks, meeting_after(closing, "lock_to_close", Meeting(2)):
        return names(at_once(*[lambda: close_account(user_id=alice.pk, now=DUE)] * 2))


def test_an_account_is_closed_once(alice: User) -> None:
    assert close_twice(alice, nullcontext()) == ["already", "done"]


def test_control_without_the_lock_it_is_closed_twice(alice: User) -> None:
    assert close_twice(alice, without_row_locks(User)) == ["done", "done"]


# Two customers, one address


def change_to_one_address() -> list[str]:
    ann, ben = register("ann"), register("ben")
    with meeting_after(profile_operations, "make_way", Meeting(2)):
        return names(
            at_once(*[lambda user=user: change_address(user_id=user.pk, email=NEW, now=NOW) for user in (ann, ben)])
        )


def test_the_key_gives_an_address_to_one(alice: User) -> None:
    assert change_to_one_address() == ["done", "email"]
    assert User.objects.filter(email=NEW).count() == KnownIdentifier.objects.filter(kind="email").count() == 1


def test_control_without_the_keys_two_have_it(alice: User) -> None:
    with without_constraint("email_is_unique_on_lower_case"), without_constraint("unique_verified_email"):
        assert change_to_one_address() == ["done", "done"]
