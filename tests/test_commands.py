"""The `settle` command: how it reads its instant, and how it ends."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from referrals.models import Referral
from tests.facts import day, fact, record, register

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bob() -> User:
    bob = register("bob", referred_by=register("alice"))
    record(fact(bob, "p", "25", day(1, 20)))
    return bob


def settle(*arguments: str) -> str:
    said = io.StringIO()
    call_command("settle", *arguments, stdout=said)
    return said.getvalue()


@pytest.mark.parametrize(
    ("instant", "granted"),
    [
        ("2026-02-18T23:59:59.999999Z", 0),
        ("2026-02-19T00:00:00Z", 1),
        ("2026-02-19T00:00:00z", 1),
        ("2026-02-19T05:45:00+05:45", 1),
        ("2026-02-19T05:44:59+05:45", 0),
    ],
)
def test_the_instant_is_read_with_any_offset(bob: User, instant: str, granted: int) -> None:
    assert f"granted={granted} " in settle("--as-of", instant)


@pytest.mark.parametrize(
    "instant",
    [
        "tomorrow",
        "2026-02-19",
        "2026-02-19T00:00:00",
        "2026-02-19 00:00:00Z",
        "20260219T000000Z",
        "2026-W08-4T00:00Z",
        "2026-02-19T00:00:00+00:00:30",
        "2026-02-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_what_is_no_instant_is_one_clear_error_and_changes_nothing(bob: User, instant: str) -> None:
    with pytest.raises(CommandError, match="--as-of"):
        settle("--as-of", instant)
    assert Referral.objects.get().tracked_at is None


def test_settle_ends_with_one_line_of_counts(bob: User) -> None:
    assert settle("--as-of", "2026-05-20T00:00:00Z").splitlines() == [
        "tracked=1 customers=1 expired=0 clawed_back=0 granted=2 amount=20.50"
    ]
