"""The button that pays: one order a key, however often it is pressed, and only of what was shown."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.test import Client

from accounts.models import User
from billing.models import Charge, Order, Product, SandboxCharge, SpendEvent
from billing.operations import set_default_card
from credits.models import Coupon, CouponEntry, Redemption
from tests.facts import NOW, register
from tests.newcomers import Inputs
from tests.ordering import buy, give_card, give_credit
from tests.pages import signed_in, words

pytestmark = pytest.mark.django_db(transaction=True)

CHECKOUT = "/console/checkout/"
PAY = "/console/checkout/pay/"


@pytest.fixture(autouse=True)
def now() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def alice() -> User:
    """A customer with a trial of $300, $5 of credit and a card."""
    alice = register("alice")
    give_card(alice)
    with transaction.atomic():
        give_credit(alice, "5")
    return alice


def pay_with_a_card_that_is(outcome: str, customer: User) -> None:
    set_default_card(customer_id=customer.pk, method_id=give_card(customer, outcome).pk, now=NOW)


def choose(client: Client, query: str) -> str:
    """Follow the address to the page that it leads to, and return that page."""
    return client.get(f"{CHECKOUT}?{query}", follow=True).content.decode()


def form_of(page: str, **changed: str) -> dict[str, Any]:
    """What the page's form sends."""
    fields = Inputs()
    fields.feed(page)
    ticked = re.findall(r'name="use" value="(\d+)" checked', page)
    offered = re.findall(r'name="offered" value="(\d+)"', page)
    return {**fields.values, "offered": offered, "use": ticked, **changed}


def message(answer: Any) -> str:
    assert answer.status_code == 302
    return words(answer.client.get(answer["Location"]).content.decode())


def test_what_was_shown_is_ordered_and_paid(alice: User) -> None:
    client = signed_in(alice)
    answer = client.post(PAY, form_of(choose(client, "item=ecs:40&item=dns:1")))
    order = Order.objects.get()
    assert answer["Location"] == f"/console/orders/{order.number}/"
    parts = (order.trial.amount, order.credit.amount, order.cash.amount)
    assert (order.state, *parts) == ("paid", 300, 5, Decimal("36.20"))
    assert SandboxCharge.objects.get().amount.amount == Decimal("36.20")


def test_a_button_that_is_pressed_twice_orders_once(alice: User) -> None:
    client = signed_in(alice)
    form = form_of(choose(client, "item=ecs:1&item=dns:1"))
    first, second = client.post(PAY, form), client.post(PAY, form)
    assert first["Location"] == second["Location"]
    assert (Order.objects.count(), SandboxCharge.objects.count(), SpendEvent.objects.count()) == (1, 1, 1)
    assert Redemption.objects.count() == 1


def test_coming_back_by_the_back_button_orders_nothing_more(alice: User) -> None:
    """The address is the same, and so is its key: the page says that this is ordered."""
    client = signed_in(alice)
    address = client.get(f"{CHECKOUT}?item=dns:1")["Location"]
    form = form_of(client.get(address).content.decode())
    ordered = client.post(PAY, form)["Location"]
    page = client.get(address).content.decode()
    assert "You have placed this order already" in words(page)
    assert f'href="{ordered}"' in page
    assert "Pay $" not in words(page)
    assert f'href="{CHECKOUT}?item=dns%3A1"' in page


def test_the_same_once_more_is_another_order(alice: User) -> None:
    client = signed_in(alice)
    for _ in range(2):
        client.post(PAY, form_of(choose(client, "item=dns:1")))
    assert Order.objects.filter(state="paid").count() == 2


def test_a_price_that_changed_shows_the_preview_again(alice: User) -> None:
    client = signed_in(alice)
    form = form_of(choose(client, "item=dns:1"))
    Product.objects.filter(code="dns").update(price="1.30")
    answer = client.post(PAY, form)
    assert not Order.objects.exists()
    page = message(answer)
    assert "Nothing was ordered: a quantity, a price, your credit or card has changed." in page
    assert "Pay $1.30" in page
    client.post(PAY, form_of(client.get(answer["Location"]).content.decode()))
    assert Order.objects.get().cash.amount == Decimal("1.30")


def test_credit_that_went_elsewhere_shows_the_preview_again(alice: User) -> None:
    client = signed_in(alice)
    form = form_of(choose(client, "item=ecs:36"))
    buy(alice, key="in another window", ecs=1)
    page = message(client.post(PAY, form))
    assert "a quantity, a price, your credit or card has changed" in page
    assert "$291.50 $5.00 $9.50 $306.00" in page
    assert Order.objects.count() == 1


def test_another_card_than_was_shown_is_not_charged(alice: User) -> None:
    client = signed_in(alice)
    form = form_of(choose(client, "item=dns:1"))
    other = give_card(alice, token="sandbox-accepted-other")
    set_default_card(customer_id=alice.pk, method_id=other.pk, now=NOW)
    answer = client.post(PAY, form)
    assert not Order.objects.exists()
    assert "your credit or card has changed" in message(answer)
    client.post(PAY, form_of(client.get(answer["Location"]).content.decode()))
    assert Charge.objects.get().method == other


def test_a_quantity_that_was_typed_and_not_shown_is_not_paid(alice: User) -> None:
    client = signed_in(alice)
    page = choose(client, "item=dns:1")
    answer = client.post(PAY, form_of(page, **{"quantity.dns": "3"}))
    assert not Order.objects.exists()
    assert "Pay $3.60" in message(answer)


def test_a_tick_that_was_taken_away_is_shown_first(alice: User) -> None:
    client = signed_in(alice)
    form = form_of(choose(client, "item=ecs:1"))
    trial = Coupon.objects.get(kind="trial")
    form["use"] = [one for one in form["use"] if one != str(trial.pk)]
    page = message(client.post(PAY, form))
    assert "Nothing was ordered" in page
    assert "Elastic Compute Service $8.50 per month You have left out coupons that could pay for it." in page


def test_a_coupon_that_is_left_out_stays_as_it_is(alice: User) -> None:
    client = signed_in(alice)
    credit = Coupon.objects.get(kind="goodwill")
    client.post(PAY, form_of(choose(client, f"item=ecs:40&without={credit.pk}")))
    order = Order.objects.get()
    assert (order.trial.amount, order.credit.amount, order.cash.amount) == (300, 0, 40)
    credit.refresh_from_db()
    assert credit.remaining.amount == 5


def test_a_declined_card_leaves_credit_untouched(alice: User) -> None:
    pay_with_a_card_that_is("not-charged", alice)
    client = signed_in(alice)
    answer = client.post(PAY, form_of(choose(client, "item=ecs:40")), follow=True)
    page = words(answer.content.decode())
    assert "Not paid The card was declined. Nothing was charged, and your credit is as it was." in page
    assert not CouponEntry.objects.filter(type="REDEEM").exists()
    again = re.search(r'href="(/console/checkout/[^"]+)"', answer.content.decode())
    assert again
    assert again[1] == f"{CHECKOUT}?item=ecs%3A40"


def test_an_answer_that_is_lost_is_said_and_nothing_is_charged_twice(alice: User) -> None:
    pay_with_a_card_that_is("unanswered", alice)
    client = signed_in(alice)
    form = form_of(choose(client, "item=dns:1"))
    page = words(client.post(PAY, form, follow=True).content.decode())
    assert "Your order is being paid" in page
    assert Charge.objects.get().state == "asked"
    with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
        client.post(PAY, form)
    assert SandboxCharge.objects.count() == 1
    assert Order.objects.get().state == "paid"


def test_without_a_card_nothing_is_ordered(alice: User) -> None:
    bob = register("bob")
    client = signed_in(bob)
    page = message(client.post(PAY, form_of(choose(client, "item=dns:1"))))
    assert "There is no usable card as the default payment method" in page
    assert not Order.objects.exists()


@pytest.mark.parametrize("key", ["", "short", "0" * 65])
def test_a_form_without_a_key_of_ours_begins_anew(alice: User, key: str) -> None:
    client = signed_in(alice)
    answer = client.post(PAY, form_of(choose(client, "item=dns:1"), key=key))
    assert not Order.objects.exists()
    assert re.search(r"key=[\w-]{22}$", client.get(answer["Location"])["Location"])


def test_another_customers_key_is_no_order_of_ones_own(alice: User) -> None:
    bob = register("bob")
    give_card(bob)
    ours, theirs = signed_in(alice), signed_in(bob)
    form = form_of(choose(ours, "item=dns:1"))
    ours.post(PAY, form)
    page = theirs.get(f"{CHECKOUT}?item=dns:1&key={form['key']}").content.decode()
    assert "placed this order already" not in words(page)
    theirs.post(PAY, form_of(page))
    assert Order.objects.values("customer").distinct().count() == 2


def test_nothing_is_paid_without_the_forms_token(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post(PAY, form_of(choose(client, "item=dns:1"), csrfmiddlewaretoken="x" * 64)).status_code == 403
    assert not Order.objects.exists()


def test_the_button_is_no_link(alice: User) -> None:
    assert signed_in(alice).get(PAY).status_code == 405


def test_visitors_are_asked_to_sign_in() -> None:
    assert Client().post(PAY, {"quantity.dns": "1"})["Location"].startswith("/accounts/login/")
