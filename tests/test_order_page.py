"""An order's page in every state, its invoice, and the list of orders."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from billing.gateways.sandbox import Sandbox
from billing.models import Charge, Order
from billing.operations import finish_orders, place_order, set_default_card
from billing.operations.orders import record_answer
from tests.facts import NOW, day, register
from tests.markup import faults
from tests.ordering import buy, give_card, give_credit, terms_of
from tests.pages import read, signed_in, words
from tests.refunding import answers_lost, dispute, nobody_there, refund

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = "/console/orders/"


@pytest.fixture
def alice() -> User:
    """A customer with a trial of $300, $5 of credit until 1 December and $3 until Christmas, and a card."""
    alice = register("alice")
    give_card(alice)
    with transaction.atomic():
        give_credit(alice, "5")
        give_credit(alice, "3", expires_at=day(12, 25))
    return alice


def page_of(order: Order, *, of: User | None = None, **options: Any) -> str:
    return read(of or order.customer, f"{ORDERS}{order.number}/", **options)


def pay_with_a_card_that_is(outcome: str, customer: User) -> None:
    set_default_card(customer_id=customer.pk, method_id=give_card(customer, outcome).pk, now=NOW)


def test_a_paid_order_says_who_paid_what(alice: User) -> None:
    order = buy(alice, ecs=40, dns=1)
    page = page_of(order)
    assert f"Order {order.number} Paid Invoice Placed 1 Nov 2026, 00:00 UTC" in page
    assert "Elastic Compute Service 40 × $8.50 per month $300.00 $8.00 $32.00 $340.00" in page
    assert "DNS 1 × $1.20 per month $0.00 $0.00 $1.20 $1.20" in page
    trial, coupons = (
        "Free trial until 1 Jan 2027 $300.00",
        "until 1 Dec 2026 $5.00 Goodwill credit until 25 Dec 2026 $3.00",
    )
    assert f"Paid with {trial} Goodwill credit {coupons} Visa ••••ending in 4242 $33.20 In all $341.20" in page
    assert "What came back" not in page


def test_the_price_stays_that_of_the_order(alice: User) -> None:
    order = buy(alice, ecs=1)
    order.lines.get().product.__class__.objects.filter(code="ecs").update(price="99")
    assert "1 × $8.50 per month" in page_of(order)


def test_an_order_that_is_being_paid_says_so_and_looks_again(alice: User) -> None:
    pay_with_a_card_that_is("unanswered", alice)
    order = buy(alice, dns=1)
    page = page_of(order)
    assert f"Order {order.number} Being paid" in page
    assert "Your order is being paid" in page
    assert "Look again" in page
    assert "To be paid with" in page
    markup = signed_in(alice).get(f"{ORDERS}{order.number}/").content.decode()
    assert f'hx-get="{ORDERS}{order.number}/" hx-trigger="every 3s"' in markup
    finish_orders(now=NOW + timedelta(minutes=2))
    assert "Being paid" not in page_of(order)
    assert "hx-trigger" not in signed_in(alice).get(f"{ORDERS}{order.number}/").content.decode()


def test_htmx_gets_nothing_until_the_order_has_ended(alice: User) -> None:
    pay_with_a_card_that_is("unanswered", alice)
    order = buy(alice, dns=1)
    client = Client(headers={"hx-request": "true"})
    client.force_login(alice)
    assert client.get(f"{ORDERS}{order.number}/").status_code == 204
    finish_orders(now=NOW + timedelta(minutes=2))
    answer = client.get(f"{ORDERS}{order.number}/")
    assert 'id="order"' in answer.content.decode()
    assert "HX-Request" in answer["Vary"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("declined", "The card was declined. Nothing was charged, and your credit is as it was."),
        ("credit_gone", "The credit of this order was used or ended elsewhere"),
        ("not_charged", "Our payment provider did not take the payment. Nothing was charged"),
    ],
)
def test_an_order_that_is_not_paid_says_why_and_how_to_go_on(alice: User, reason: str, said: str) -> None:
    order = place_order(**terms_of(alice, at=NOW, ecs=2))
    Order.objects.filter(pk=order.pk).update(state="cancelled", reason=reason, cancelled_at=NOW)
    page = page_of(order)
    assert f"Order {order.number} Not paid" in page
    assert said in page
    assert "Try again" in page
    assert "It would have been paid with" in page
    markup = signed_in(alice).get(f"{ORDERS}{order.number}/").content.decode()
    assert 'href="/console/checkout/?item=ecs%3A2"' in markup
    assert ('button--quiet" href="/console/payment-methods/"' in markup) == (reason == "declined")


def test_an_order_that_was_charged_too_late_says_that_it_goes_back(alice: User) -> None:
    order = place_order(**terms_of(alice, at=NOW, dns=1))
    finish_orders(now=NOW + timedelta(hours=1))
    assert "Nothing was charged" in page_of(order)
    made = Sandbox().charge(
        customer="", token=order.charge.method.token, amount=order.cash, key=order.charge.key, description=""
    )
    record_answer(charge_id=order.charge.pk, state=Charge.State.MADE, gateway_id=made, now=NOW + timedelta(hours=1))
    for _ in range(2):
        page = page_of(order)
        assert "What was charged goes back whole" in page
        assert "Nothing was charged" not in page
        finish_orders(now=NOW + timedelta(hours=2))


def test_a_refund_says_what_came_back_and_where_to(alice: User) -> None:
    order = buy(alice, ecs=40, dns=1)
    refund(order, (1, "34"), at=day(11, 2))
    page = page_of(order, at=day(11, 3))
    assert "$300.00 $8.00 $32.00 $340.00 $34.00" in page
    assert "Refund 2 Nov 2026, 00:00 $30.00 $0.80 $3.20 $34.00" in page
    # In reverse order of use.
    assert "Goodwill credit until 25 Dec 2026 · $0.80 came back $3.00" in page
    assert "Free trial until 1 Jan 2027 · $30.00 came back $300.00" in page
    assert "Goodwill credit until 1 Dec 2026 $5.00" in page
    assert "After all, this order cost $307.20." in page


def test_a_refund_on_its_way_says_so(alice: User) -> None:
    order = buy(alice, dns=2)
    with answers_lost():
        refund(order, (1, "1"))
    page = page_of(order)
    assert "Refund On its way 1 Nov 2026, 00:00 $0.00 $0.00 $1.00 $1.00" in page
    assert "After all, this order cost $2.40." in page


def test_what_the_bank_takes_back_is_said_until_it_returns(alice: User) -> None:
    order = buy(alice, dns=2)
    dispute(order, "2.40", at=day(11, 2))
    page = page_of(order, at=day(11, 3))
    assert "Taken back by your bank Disputed 2 Nov 2026, 00:00 $2.40 $2.40" in page
    assert "After all, this order cost $0.00." in page
    dispute(order, "2.40", "won", at=day(11, 4))
    page = page_of(order, at=day(11, 5))
    assert "Taken back by your bank Returned" in page
    assert "After all, this order cost $2.40." in page


def test_a_bank_that_takes_back_more_than_is_left_makes_no_order_cost_less_than_nothing(alice: User) -> None:
    order = buy(alice, dns=2)
    refund(order, (1, "1"))
    dispute(order, "2.40")
    page = page_of(order)
    assert "$2.40 $2.40 After all, this order cost $0.00." in page


def test_the_invoice_is_that_of_a_paid_order(alice: User) -> None:
    order = buy(alice, ecs=40)
    page = read(alice, f"{ORDERS}{order.number}/invoice/", at=day(11, 3))
    assert f"Invoice {order.number} From Example Cloud To alice@example.com Account alice" in page
    assert "Ordered 1 Nov 2026, 00:00 UTC Paid 1 Nov 2026, 00:00 UTC" in page
    assert "In all $340.00" in page
    unpaid = place_order(**terms_of(alice, key="another", at=NOW, dns=1))
    read(alice, f"{ORDERS}{unpaid.number}/invoice/", status=404)


def test_another_customers_order_is_not_found(alice: User) -> None:
    order, bob = buy(alice, ecs=1), register("bob")
    for address in ("", "invoice/"):
        read(bob, f"{ORDERS}{order.number}/{address}", status=404)
    read(alice, f"{ORDERS}NOSUCHNO/", status=404)


def test_orders_stand_in_their_list_the_newest_first(alice: User) -> None:
    first, second = buy(alice, ecs=40), buy(alice, key="second", at=day(11, 2), dns=1)
    page = read(alice, ORDERS, at=day(11, 3))
    rows = (
        f"{second.number} 2 Nov 2026, 00:00 Paid $0.00 $0.00 $1.20 $1.20 {first.number} 1 Nov 2026, 00:00 Paid $300.00"
    )
    assert rows in page
    assert f"{second.number}-1" in page, "the payment of it is recorded beside"
    assert "Nothing paid yet" not in page


def test_orders_come_page_by_page(alice: User) -> None:
    numbers = [buy(alice, key=f"key-{n}", at=NOW + timedelta(hours=n), vpc=1).number for n in range(11)]
    client = signed_in(alice)
    first = client.get(ORDERS).content.decode()
    assert [number for number in numbers if number in first] == numbers[1:]
    older = re.search(r'href="(\?orders=[^"]+)"', first)
    assert older
    second = words(client.get(f"{ORDERS}{older[1]}").content.decode())
    assert [number for number in numbers if number in second] == numbers[:1]
    assert "Nothing paid yet" in second
    read(alice, f"{ORDERS}?orders=x", status=400)
    assert "No older orders" in read(alice, f"{ORDERS}?orders=1_1")


def test_pages_run_as_many_statements_for_many_lines_and_coupons(alice: User) -> None:
    small = buy(alice, ecs=1)
    with transaction.atomic():
        for _ in range(10):
            give_credit(alice, "0.50", expires_at=day(12, 26))
    large = buy(alice, key="large", ecs=40, rds=1, oss=90, dns=1, domain=1)
    for n in range(3):
        refund(large, (1, "1"), (4, "0.10"), key=f"refund-{n}")
    client = signed_in(alice)
    counts = []
    for order in (small, large):
        for address in ("", "invoice/"):
            with CaptureQueriesContext(connection) as statements:
                assert client.get(f"{ORDERS}{order.number}/{address}").status_code == 200
            counts.append(len(statements))
    assert counts == [9, 9, 9, 9]


def test_their_markup_has_no_faults(alice: User) -> None:
    order = buy(alice, ecs=40, dns=2)
    with nobody_there():
        refund(order, (1, "5"))
    with time_machine.travel(day(11, 2), tick=False):
        client = signed_in(alice)
        for address in (f"{ORDERS}{order.number}/", f"{ORDERS}{order.number}/invoice/", ORDERS):
            assert faults(client.get(address).content.decode()) == []


def test_visitors_are_asked_to_sign_in() -> None:
    for address in (f"{ORDERS}NUMBER/", f"{ORDERS}NUMBER/invoice/"):
        assert Client().get(address)["Location"] == f"/accounts/login/?next={address}"
