"""Calls of the API at once: one account or report from ten clients, with the same and with other content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from accounts.models import IdentityVerification, User
from accounts.operations import AccountFact, Identity, imports, imports_sql, told
from billing.models import PaymentMethod, PaymentMethodQuerySet
from billing.operations import ToldMethod, record_told_method
from credits.models import Coupon
from referrals.models import AbuseReport, FraudFlag, Referral
from referrals.operations import abuse, told_accounts
from referrals.operations.abuse import ToldAbuse, report_abuse
from referrals.operations.told_accounts import ToldAccount, ToldChange, change_account, take_account
from tests.facts import JANUARY, NOW, register
from tests.races.racing import (
    Meeting,
    at_once,
    key_of,
    meeting_after,
    meeting_before,
    names,
    replaced,
    without_constraint,
    without_row_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 10


def bob(n: int = 0) -> ToldAccount:
    """Bob, whose country the n-th client has from elsewhere."""
    fact = AccountFact(1, "bob", "bob@example.com", "individual", f"D{n}", "2026-01-05T09:00:00Z", "alice")
    return ToldAccount(fact, "", True, Identity("DE", "passport", "C01X00T47"), ToldMethod(JANUARY, None, "fp"))


@pytest.fixture
def alice() -> User:
    return register("alice")


# One account


def take_at_once(*accounts: ToldAccount) -> list[str]:
    """They meet where each has seen that it is new: the lock lets one after the other come there."""
    with meeting_after(imports, "_judge", Meeting(len(accounts))):
        return names(at_once(*[lambda one=one: take_account(told=one, now=NOW) for one in accounts]))


@contextmanager
def without_keys() -> Iterator[None]:
    """Take out the lock that imports share, and the keys that would still tell two accounts apart."""
    with ExitStack() as out:
        lock = "SELECT pg_advisory_xact_lock(20260102, 0)"
        out.enter_context(replaced(imports_sql, "ONE_AT_A_TIME", lock, "SELECT 1"))
        keys = (key_of("accounts_user", "account_id"), "email_is_unique_on_lower_case", "unique_verified_email")
        for key in keys:
            out.enter_context(without_constraint(key))
        yield


def test_the_same_account_from_ten_clients_is_registered_once(alice: User) -> None:
    assert take_at_once(*[bob()] * CLIENTS) == ["done"] * CLIENTS
    friend = User.objects.get(account_id="bob")
    assert Referral.objects.get().friend == friend
    assert Coupon.objects.filter(customer_id=friend.pk).count() == 2
    assert IdentityVerification.objects.count() == PaymentMethod.objects.count() == 1


def test_of_ten_clients_with_other_content_one_is_believed(alice: User) -> None:
    assert take_at_once(*[bob(n) for n in range(CLIENTS)]) == ["conflict"] * (CLIENTS - 1) + ["done"]
    assert User.objects.filter(account_id="bob").count() == Referral.objects.count() == 1


def test_control_without_lock_and_keys_an_account_is_registered_twice(alice: User) -> None:
    # They meet once more where each has read back the account that it made: by then one that is through is read, too.
    with without_keys(), meeting_before(told_accounts, "_record_person_and_method", Meeting()):
        take_at_once(bob(), bob())
        assert User.objects.filter(account_id="bob").count() == 2


# One report


def report(name: str = "r1", kind: str = "fraud", evidence: str = "Seen.") -> ToldAbuse:
    return ToldAbuse(name, "bob", kind, evidence)


def report_at_once(*reports: ToldAbuse) -> list[str]:
    with meeting_before(abuse, "_record", Meeting(len(reports))):
        return names(at_once(*[lambda one=one: report_abuse(told=one, now=NOW) for one in reports]))


def test_the_same_report_from_ten_clients_is_recorded_once(alice: User) -> None:
    register("bob", referred_by=alice)
    assert report_at_once(*[report()] * CLIENTS) == ["done"] * CLIENTS
    assert AbuseReport.objects.count() == FraudFlag.objects.count() == 1


def test_of_ten_reports_with_one_id_and_other_content_one_is_recorded(alice: User) -> None:
    register("bob", referred_by=alice)
    kinds = ["fraud", "mining", "other", "card_theft", "illegal_activity"] * 2
    reports = [report(kind=kind, evidence=f"Seen {n}.") for n, kind in enumerate(kinds)]
    assert report_at_once(*reports) == ["conflict"] * (CLIENTS - 1) + ["done"]
    assert AbuseReport.objects.count() == FraudFlag.objects.count() == 1


def test_control_without_the_key_a_report_is_recorded_twice(alice: User) -> None:
    register("bob", referred_by=alice)
    with without_constraint(key_of("referrals_abusereport", "report_id")):
        report_at_once(report(), report())
        assert AbuseReport.objects.count() == 2


# Changes of one account


def grow_and_withdraw(friend: User) -> list[str]:
    """The enterprise that the one makes of the account is verified until the other says that it is not."""
    take: dict[str, Any] = {"account_id": friend.account_id, "now": NOW}
    return names(
        at_once(
            lambda: change_account(change=ToldChange(account_type="enterprise"), **take),
            lambda: change_account(change=ToldChange(verified=False), **take),
        )
    )


def test_enterprise_and_withdrawal_at_once_end_as_if_one_came_after_the_other(alice: User) -> None:
    take_account(told=bob(), now=NOW)
    friend = User.objects.get(account_id="bob")
    ends = grow_and_withdraw(friend)
    friend.refresh_from_db()
    assert (ends, friend.account_type) in [(["done", "done"], "enterprise"), (["done", "type"], "individual")]
    assert not IdentityVerification.objects.get().has_passed


# One payment method


def tell_twice(alice: User) -> list[str]:
    method: dict[str, Any] = {"customer_id": alice.pk, "told": ToldMethod(JANUARY, None, "fp"), "now": NOW}
    with meeting_before(PaymentMethodQuerySet, "create", Meeting(2)):
        return names(at_once(*[lambda: record_told_method(**method)] * 2))


def test_payment_method_that_is_told_of_twice_at_once_is_on_file_once(alice: User) -> None:
    assert tell_twice(alice) == ["done", "done"]
    assert PaymentMethod.objects.count() == 1


def test_control_without_lock_and_keys_it_is_on_file_twice(alice: User) -> None:
    keys = ["a_billing_system_tells_of_one_payment_method", "a_payment_method_is_on_file_once"]
    with without_constraint(keys[0]), without_constraint(keys[1]), without_row_locks(User):
        tell_twice(alice)
        assert PaymentMethod.objects.count() == 2


# A change of verification at once


def verify_twice(alice: User) -> list[str]:
    facts: dict[str, Any] = {"user_id": alice.pk, "account_type": "enterprise", "identity": None, "now": NOW}
    with meeting_after(told, "_lock", Meeting(2)):
        return sorted(str(end) for end in at_once(*[lambda: told.record_verified(**facts)] * 2))


def test_verification_that_is_told_of_twice_at_once_is_recorded_once(alice: User) -> None:
    assert verify_twice(alice) == ["False", "True"]


def test_control_without_the_lock_verification_is_recorded_twice(alice: User) -> None:
    with without_row_locks(User):
        assert verify_twice(alice) == ["True", "True"]
