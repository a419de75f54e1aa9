"""The checkout: who would pay what, what would stay on each coupon, and what of it will likely expire."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from djmoney.money import Money
from pytest_django import Settings

from accounts.models import User
from billing.gateways import Card
from billing.models import Product
from billing.operations import add_card, arrange_payment
from credits.models import Coupon, CreditAccount
from credits.operations import NewCoupon, give_back, issue_coupons, redeem
from tests.facts import NOW, day, register
from tests.markup import faults
from tests.pages import read, signed_in, words

pytestmark = pytest.mark.django_db(transaction=True)

CHECKOUT = "/console/checkout/"
KEY = "key=0123456789abcdef"


@pytest.fixture
def alice() -> User:
    """A customer with a trial of $300, a card, and two coupons of goodwill: $5 until 1 December, $20 until March."""
    alice = register("alice")
    give(alice, "5", until=day(12, 1))
    give(alice, "20", until=day(3, 1, 2027))
    put_a_card_on_file(alice)
    return alice


def give(customer: User, *amounts: str, until: datetime) -> None:
    coupons = [
        NewCoupon(customer.pk, "goodwill", None, f"goodwill:{until:%y%m%d}:{n}", Decimal(amount), day(9, 1), until)
        for n, amount in enumerate(amounts)
    ]
    with transaction.atomic():
        issue_coupons(coupons=coupons, now=NOW)


def put_a_card_on_file(customer: User, *, year: int = 2030) -> None:
    card = Card(f"pm-{customer.account_id}", "visa", "4242", 12, year, customer.account_id)
    add_card(customer_id=customer.pk, gateway="sandbox", card=card, now=day(1, 2))


def use(customer: User, name: str, amount: str, at: datetime) -> None:
    money = Money(amount, "USD")
    redeem(source="test", redemption_id=name, customer_id=customer.pk, amount=money, occurred_at=at, now=NOW)


def preview(customer: User, query: str, **options: Any) -> str:
    return read(customer, f"{CHECKOUT}?{query}&{KEY}", **options)


def test_the_trial_pays_first_then_coupons_by_expiry_then_money(alice: User) -> None:
    page = preview(alice, "item=ecs:40")
    assert "Your credit does not reach further. $300.00 $25.00 $15.00 $340.00" in page
    assert "In all $300.00 $25.00 $15.00 $340.00" in page
    soonest = "Goodwill credit: $5.00 left 1 Dec 2026 in 30 days $5.00 $0.00 $0.00"
    trial = "Free trial: $300.00 left 1 Jan 2027 in 61 days $300.00 $0.00 $0.00"
    last = "Goodwill credit: $20.00 left 1 Mar 2027 in 120 days $20.00 $0.00 $0.00"
    assert f"{soonest} {trial} {last}" in page
    assert "Visa ••••ending in 4242 $15.00" in page
    assert "Pay $15.00" in page


def test_a_line_says_why_credit_does_not_pay_it(alice: User) -> None:
    page = preview(alice, "item=dns:2&item=offer-domain:1&item=cdn:100")
    assert "DNS $1.20 per month Credit does not pay for DNS. $0.00 $0.00 $2.40 $2.40" in page
    assert "A special offer takes no credit. $0.00 $0.00 $0.99 $0.99" in page
    assert "Content Delivery Network $0.041 per GB $4.10 $0.00 $0.00 $4.10" in page


def test_an_order_without_money_is_placed_and_not_paid(alice: User) -> None:
    page = preview(alice, "item=ecs:1")
    assert "Order now" in page
    assert "Pay $" not in page


def test_a_coupon_that_is_left_out_pays_nothing(alice: User) -> None:
    trial = Coupon.objects.get(kind="trial")
    page = preview(alice, f"item=ecs:1&without={trial.pk}")
    assert "Elastic Compute Service $8.50 per month $0.00 $8.50 $0.00 $8.50" in page
    assert "Goodwill credit: $20.00 left 1 Mar 2027 in 120 days $3.50 $16.50" in page
    soonest = Coupon.objects.earliest("expires_at")
    page = preview(alice, f"item=ecs:3&without={trial.pk}&without={soonest.pk}")
    assert "You have left out coupons that could pay for it. $0.00 $20.00 $5.50 $25.50" in page


def test_leaving_the_trial_out_is_no_reason_where_it_could_not_pay(alice: User) -> None:
    trial = Coupon.objects.get(kind="trial")
    Product.objects.filter(code="ecs").update(accepts_trial=False)
    assert "Your credit does not reach further. $0.00 $25.00" in preview(alice, f"item=ecs:3&without={trial.pk}")


def test_what_stays_and_is_not_used_in_time_will_likely_expire(alice: User) -> None:
    """$9 in 90 days, 10 cents a day: in 30 days $3 of the $5, in 120 days $9 more of the $20."""
    give(alice, "9", until=day(10, 20))
    use(alice, "lately", "9", day(10, 10))
    page = preview(alice, "item=dns:1")
    assert "Goodwill credit: $5.00 left 1 Dec 2026 in 30 days $0.00 $5.00 $2.00" in page
    assert "Goodwill credit: $20.00 left 1 Mar 2027 in 120 days $0.00 $20.00 $11.00" in page
    assert "Free trial: $300.00 left 1 Jan 2027 in 61 days $0.00 $300.00 $300.00" in page
    assert "in the last 90 days you used $9.00 of credit and $0.00 of the trial" in page


def test_the_pace_is_that_of_the_last_90_days_less_what_came_back(alice: User) -> None:
    give(alice, "100", until=day(10, 31))
    use(alice, "first", "4", NOW - timedelta(days=50))
    use(alice, "second", "6", NOW - timedelta(days=40))
    assert "you used $10.00 of credit" in preview(alice, "item=dns:1")
    money = Money(5, "USD")
    give_back(
        source="test", redemption_id="second", return_id="r", amount=money, occurred_at=NOW - timedelta(days=1), now=NOW
    )
    assert "you used $5.00 of credit" in preview(alice, "item=dns:1")
    # The first use is out of sight once it is more than 90 days old.
    assert "you used $5.00 of credit" in preview(alice, "item=dns:1", at=NOW + timedelta(days=40))
    assert "you used $1.00 of credit" in preview(alice, "item=dns:1", at=NOW + timedelta(days=40, microseconds=1))


def test_what_comes_back_of_an_older_use_slows_the_pace_of_no_later_one(alice: User) -> None:
    use(alice, "older", "2", day(9, 2))
    use(alice, "later", "1", day(9, 3))
    give_back(source="test", redemption_id="older", return_id="r", amount=Money(2, "USD"), occurred_at=NOW, now=NOW)
    assert "you used $1.00 of credit" in preview(alice, "item=dns:1", at=day(9, 2) + timedelta(days=90))
    assert "you used $1.00 of credit" in preview(alice, "item=dns:1", at=day(9, 3) + timedelta(days=90))


@pytest.mark.untrue_rows("frozen_credit_is_of_a_disqualified_account")
def test_frozen_credit_pays_nothing(alice: User) -> None:
    CreditAccount.objects.filter(pk=alice.pk).update(frozen_at=NOW)
    page = preview(alice, "item=ecs:1")
    assert "Your credit is frozen: it pays for nothing" in page
    assert "Elastic Compute Service $8.50 per month Your credit is frozen. $0.00 $0.00 $8.50 $8.50" in page


def test_money_needs_a_card(alice: User) -> None:
    bob = register("bob")
    page = preview(bob, "item=dns:1")
    assert "The part in money needs a card" in page
    assert "Pay $" not in page
    assert "Order now" in preview(bob, "item=ecs:1")


def test_neither_an_expired_card_nor_what_staff_arranged_pays_here(alice: User) -> None:
    bob, carol = register("bob"), register("carol")
    put_a_card_on_file(bob, year=2026)
    arrange_payment(customer_id=carol.pk, now=NOW)
    assert "Pay $1.20" in preview(bob, "item=dns:1", at=day(1, 1, 2027) - timedelta(seconds=1))
    assert "needs a card" in preview(bob, "item=dns:1", at=day(1, 1, 2027))
    assert "needs a card" in preview(carol, "item=dns:1")


def test_a_test_card_does_not_pay_where_real_money_is_taken(alice: User, settings: Settings) -> None:
    bob = register("bob")
    put_a_card_on_file(bob)
    settings.PAYMENT_GATEWAY = "stripe"
    assert "needs a card" in preview(bob, "item=dns:1")


def test_nothing_chosen_leads_to_the_catalogue(alice: User) -> None:
    for address in (CHECKOUT, f"{CHECKOUT}?{KEY}", f"{CHECKOUT}?item=x&without=3"):
        page = read(alice, address)
        assert "Nothing chosen" in page
        assert "Go to the catalogue" in page


def test_what_cannot_be_ordered_is_said_and_left_out(alice: User) -> None:
    page = preview(alice, "item=gone:1&item=ecs:1&item=oss:999999999&item=waf:999999999")
    assert "gone: This product cannot be ordered here any more." in page
    assert "waf: This amount is too small or too large for an order." in page
    assert "Elastic Compute Service $8.50 per month" in page
    assert "Object Storage Service $0.019 per GB and month" in page
    assert "Nothing chosen" in preview(alice, "item=gone:1")


def test_a_quantity_that_is_too_large_is_said(alice: User) -> None:
    page = preview(alice, f"item=oss:{2**31}&item=ecs:1")
    assert "oss: Order at least one of a product, in whole units, and no more than an order can hold." in page


def test_an_address_without_a_key_gets_one(alice: User) -> None:
    client = signed_in(alice)
    found = {client.get(f"{CHECKOUT}?item=ecs:2&without=7")["Location"] for _ in range(3)}
    assert len(found) == 3
    assert all(re.fullmatch(rf"{CHECKOUT}\?item=ecs%3A2&without=7&key=[\w-]{{22}}", address) for address in found)


def test_what_the_catalogue_sends_becomes_an_address(alice: User) -> None:
    sent = signed_in(alice).get(f"{CHECKOUT}?q=x&family=&quantity.ecs=2&quantity.rds=&item=dns:1")
    assert re.fullmatch(rf"{CHECKOUT}\?item=dns%3A1&item=ecs%3A2&key=[\w-]{{22}}", sent["Location"])


def test_an_update_becomes_another_address_with_another_key(alice: User) -> None:
    form = {"quantity.ecs": "3", "quantity.dns": "0", "offered": ["7", "8"], "use": "8", "key": KEY[4:], "seen": "x"}
    sent = signed_in(alice).post(CHECKOUT, form)
    assert re.fullmatch(rf"{CHECKOUT}\?item=ecs%3A3&without=7&key=[\w-]{{22}}", sent["Location"])
    assert KEY not in sent["Location"]


def test_another_customers_coupon_is_nothing_to_leave_out(alice: User) -> None:
    bob = register("bob")
    theirs = Coupon.objects.filter(customer=alice.pk)[0].pk
    page = preview(bob, f"item=ecs:1&without={theirs}")
    assert "Goodwill" not in page
    assert "Free trial: $300.00 left 1 Jan 2027 in 61 days $8.50" in page


def test_coupons_that_are_not_needed_are_summed_up(alice: User) -> None:
    give(alice, *["1"] * 30, until=day(4, 1, 2027))
    page = preview(alice, "item=ecs:1")
    # The trial pays; of the 32 others ten are shown.
    assert "22 more coupons are not needed: $22.00 stay on them, of which $22.00 will likely expire." in page


def test_its_markup_has_no_faults(alice: User) -> None:
    with time_machine.travel(NOW, tick=False):
        client = signed_in(alice)
        for query in ("item=ecs:40&item=dns:1", "item=gone:1&item=ecs:1", ""):
            assert faults(client.get(f"{CHECKOUT}?{query}&{KEY}").content.decode()) == []


def test_more_coupons_and_lines_run_no_more_statements(alice: User) -> None:
    counts = []
    with time_machine.travel(NOW, tick=False):
        client = signed_in(alice)
        for query in ("item=ecs:1", "item=ecs:50&item=rds:3&item=oss:9&item=dns:1&item=cdn:9"):
            with CaptureQueriesContext(connection) as statements:
                assert "Checkout" in words(client.get(f"{CHECKOUT}?{query}&{KEY}").content.decode())
            counts.append(len(statements))
            give(alice, *["1"] * 50, until=day(4, 1, 2027))
    assert counts == [8, 8]


@pytest.mark.parametrize("address", [f"{CHECKOUT}", f"{CHECKOUT}?item=ecs:1", f"{CHECKOUT}?item=ecs:1&{KEY}"])
def test_visitors_are_asked_to_sign_in(address: str) -> None:
    assert Client().get(address)["Location"].startswith("/accounts/login/?next=")
