"""Nothing that a referrer reads names a friend, and nobody reads of another customer's friends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client

from accounts.models import IdentityVerification, User
from referrals.models import Referral
from referrals.operations import open_flag, refuse
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.pages import friend_address, make_eligible, signed_in
from tests.referring import REFER, alice, settle_at

__all__ = ["alice"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

# What names the friend, what they bought, what they paid in single payments, and when.
CANARIES = (
    "canary-account",
    "canary@example.com",
    "Canary Surname",
    "canary-payment",
    "canary evidence",
    "4242",
    "polardb",
    "PolarDB",
    "13.37",
    "7.77",
    "2026-01-11",
    "11 Jan 2026",
)


@pytest.fixture
def canary(alice: User) -> User:
    """A friend with everything that could leak, at a stage with everything to tell."""
    make_eligible(alice)
    friend = register("canary", referred_by=alice)
    User.objects.filter(pk=friend.pk).update(email="canary@example.com")
    IdentityVerification.objects.create(
        customer=friend, legal_name="Canary Surname", number_tail="242", submitted_digest="d"
    )
    record(
        fact(friend, "canary-payment", "13.37", day(1, 11), product="polardb"),
        fact(friend, "canary-payment-2", "7.77", day(1, 12), product="polardb"),
    )
    settle_at(day(1, 21), day(3, 1))
    record(chargeback(friend, "canary-payment-back", "13.37", "canary-payment", day(3, 2)))
    settle_at(day(3, 3))
    flag: dict[str, Any] = {"evidence": {"card": "4242", "of": "canary evidence"}, "actor": None, "now": day(3, 4)}
    referral = Referral.objects.get(friend=friend)
    open_flag(referral_id=referral.pk, rule="card 4242", severity="hold", reason="canary evidence", **flag)
    refuse(referral_id=referral.pk, actor=None, reason="canary evidence", now=day(3, 5))
    settle_at(day(3, 6))
    return friend


def addresses(friend: User) -> list[str]:
    return [
        "/console/",
        REFER,
        f"{REFER}?sort=earned",
        f"{REFER}?stage=refused",
        f"{REFER}friends.csv",
        f"{REFER}qr.svg",
        friend_address(friend),
        "/console/coupons/",
        "/console/coupons/?show=revoked",
    ]


def text_of(answer: Any) -> str:
    return b"".join(answer).decode() if answer.streaming else answer.content.decode()


def test_no_page_and_no_file_of_the_referrer_names_the_friend(
    alice: User, canary: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="django.request")
    with time_machine.travel(NOW, tick=False):
        for address in addresses(canary):
            answer = signed_in(alice).get(address)
            said = f"{text_of(answer)} {answer.headers} {address} {caplog.text}"
            # What coupons buy is the catalogue.
            sought = [word for word in CANARIES if word != "PolarDB" or not address.startswith("/console/coupons/")]
            assert [word for word in sought if word in said] == [], address


def test_no_key_of_the_cache_names_the_friend(alice: User, canary: User) -> None:
    signed_in(alice).get(REFER)
    keys = [key.decode() for key in cache._cache.get_client().keys("*")]  # type: ignore[attr-defined]
    assert any("months" in key for key in keys)
    assert [key for key in keys for word in (*CANARIES, "canary", "alice") if word in key] == []


def test_the_friends_own_page_names_what_the_others_do_not(alice: User, canary: User) -> None:
    """The control: the canaries are there to be found."""
    page = text_of(signed_in(canary).get("/console/refer/own/"))
    assert all(word in page for word in ("canary@example.com", "PolarDB", "13.37", "11 Jan 2026"))


def test_another_customer_finds_none_of_it(alice: User, canary: User) -> None:
    mallory = register("mallory")
    make_eligible(mallory)
    for reader in (mallory, canary):
        assert signed_in(reader).get(friend_address(canary)).status_code == 404
    assert f"{friend_address(canary)}" not in text_of(signed_in(mallory).get(REFER))
    assert text_of(signed_in(mallory).get(f"{REFER}friends.csv")).count("\n") == 1


def test_a_visitor_is_asked_to_sign_in(canary: User) -> None:
    for address in [*addresses(canary), "/console/refer/own/"]:
        answer = Client().get(address)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/accounts/login/"), address


def test_nothing_of_it_is_kept_by_anybody_on_the_way(alice: User, canary: User) -> None:
    for address in addresses(canary):
        assert "no-store" in signed_in(alice).get(address)["Cache-Control"], address


def test_a_payment_below_the_threshold_shows_in_quarters_alone(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "of-bob", "13.37", day(1, 11)))
    settle_at(day(1, 11) + timedelta(days=1))
    for address in addresses(bob):
        if not address.endswith(".svg"):
            assert "13.37" not in text_of(signed_in(alice).get(address)), address
