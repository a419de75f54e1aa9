"""What the tests of the referrer's pages share: alice, who referred bob, and what happens to them."""

from __future__ import annotations

from datetime import datetime

import pytest

from accounts.models import User
from referrals.models import FraudFlag, Referral
from referrals.operations import open_flag, settle
from tests.facts import NOW, day, fact, record, register

REFER = "/console/refer/"


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """Worked example 1: payout due on 19 February, bonus on 1 May."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "12", day(1, 5)), fact(bob, "rds", "9", day(1, 20), product="rds"))
    return bob


def settle_at(*instants: datetime) -> None:
    for at in instants:
        settle(as_of=at, now=NOW)


def hold(friend: User) -> FraudFlag:
    return open_flag(
        referral_id=Referral.objects.get(friend=friend).pk,
        rule="shared_card",
        severity=FraudFlag.Severity.HOLD,
        evidence={"card": "4242"},
        actor=None,
        reason="a card of carol",
        now=day(2, 1),
    )
