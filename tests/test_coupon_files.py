"""Coupons and the movements on one as CSV files: whole, the reader's own, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
from datetime import datetime
from io import StringIO

import pytest
import time_machine
from django.test import Client
from djmoney.money import Money

from accounts.csv_files import cell
from accounts.models import User
from credits.models import Coupon, CouponKind
from credits.operations import redeem
from referrals.operations import close_account, settle
from tests.facts import NOW, chargeback, day, fact, record, register

pytestmark = pytest.mark.django_db(transaction=True)

COUPONS = "/console/coupons/coupons.csv"


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """Worked example 1, paid out, spent in part by an order with a wicked name, and charged back."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "12", day(1, 5)), fact(bob, "rds", "9", day(1, 20), product="rds"))
    settle(as_of=day(2, 19), now=NOW)
    redeem(
        source="test", redemption_id="=cmd|calc", customer_id=alice.pk, amount=Money(15, "USD"),
        occurred_at=day(2, 20), now=NOW,
    )  # fmt: skip
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle(as_of=day(5, 4), now=NOW)
    return bob


def rows(reader: User, address: str, *, at: datetime = NOW) -> list[dict[str, str]]:
    with time_machine.travel(at, tick=False):
        client = Client()
        client.force_login(reader)
        response = client.get(address)
        assert response.streaming
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"].startswith("attachment; filename=")
        return list(csv.DictReader(StringIO(b"".join(response).decode(), newline="")))


def movements(coupon: Coupon) -> str:
    return f"/console/coupons/{coupon.pk}/movements.csv"


def test_every_coupon_of_the_reader_stands_in_the_file(alice: User, bob: User) -> None:
    found = rows(alice, COUPONS)
    assert [row["coupon_id"] for row in found] == [
        str(pk) for pk in Coupon.objects.filter(customer=alice.pk).order_by("pk").values_list("pk", flat=True)
    ]
    payout = next(row for row in found if row["kind"] == "payout")
    del payout["coupon_id"]
    assert payout == {
        "kind": "payout",
        "state": "revoked",
        "friend_joined": "2026-01",
        "friend_first_name": "",
        "amount": "20.00",
        "left": "0.00",
        "used": "15.00",
        "expired": "0.00",
        "revoked": "5.00",
        "received_at": "2026-02-19T00:00:00Z",
        "expires_at": "2026-08-18T00:00:00Z",
    }


def test_what_has_expired_counts_as_expired_swept_or_not(bob: User) -> None:
    welcome = Coupon.objects.get(customer=bob.pk, kind=CouponKind.WELCOME)
    unswept = rows(bob, COUPONS, at=welcome.expires_at)
    assert [(row["state"], row["left"], row["expired"]) for row in unswept if row["kind"] == "welcome"] == [
        ("expired", "0.00", "5.00")
    ]
    settle(as_of=welcome.expires_at, now=NOW)
    assert rows(bob, COUPONS, at=welcome.expires_at) == unswept


def test_every_movement_stands_in_the_file(alice: User, bob: User) -> None:
    payout = Coupon.objects.get(customer=alice.pk, kind=CouponKind.PAYOUT)
    found = [(row["type"], row["amount"], row["left_after_it"], row["order"]) for row in rows(alice, movements(payout))]
    assert found == [
        ("ISSUE", "20.00", "20.00", ""),
        ("REDEEM", "-15.00", "5.00", "'=cmd|calc"),
        ("REVOKE", "-5.00", "0.00", ""),
    ]


def test_a_public_first_name_stands_there_and_carries_nothing_out(alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(public_first_name="=1+1")
    assert {row["friend_first_name"] for row in rows(alice, COUPONS)} == {"", "'=1+1"}
    close_account(user_id=bob.pk, now=NOW)
    assert {row["friend_first_name"] for row in rows(alice, COUPONS)} == {""}


def test_no_file_names_a_friend(alice: User, bob: User) -> None:
    payout = Coupon.objects.get(customer=alice.pk, kind=CouponKind.PAYOUT)
    for address in (COUPONS, movements(payout)):
        assert not any("bob" in value for row in rows(alice, address) for value in row.values())


def test_another_customers_movements_are_not_found(alice: User, bob: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(movements(Coupon.objects.filter(customer=bob.pk)[0])).status_code == 404


def test_visitors_are_asked_to_sign_in() -> None:
    for address in (COUPONS, "/console/coupons/1/movements.csv"):
        assert Client().get(address)["Location"] == f"/accounts/login/?next={address}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM", "'@SUM"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("a=1", "a=1"),
        (None, ""),
        (Money(-5, "USD").amount, "-5"),
    ],
)
def test_a_cell_that_a_spreadsheet_would_carry_out_is_text(value: object, text: str) -> None:
    assert cell(value) == text
