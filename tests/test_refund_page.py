"""The page in the admin on which staff refund an order: asked, previewed, carried out once."""

from __future__ import annotations

import html
import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from billing.models import Order, Refund, SandboxCharge
from tests.facts import JANUARY, register
from tests.ordering import buy, give_card, give_credit
from tests.refunding import nobody_there, parts

pytestmark = pytest.mark.django_db(transaction=True)

FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


@pytest.fixture
def order() -> Order:
    alice = register("alice")
    give_card(alice)
    give_credit(alice, "20")
    return buy(alice, ecs=40, domain=1)


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss@example.com", account_id="boss", created_at=JANUARY)


@pytest.fixture
def desk(client: Client, boss: User) -> Client:
    client.force_login(boss)
    return client


def page(order: Order) -> str:
    return reverse("admin:billing_order_refund", args=[order.pk])


def words(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def preview(desk: Client, order: Order, **answer: str) -> Any:
    """Fill in the form as it came, and have it previewed."""
    form = desk.get(page(order)).context["form"]
    return desk.post(page(order), {"key": form["key"].value(), "reason": "A wish.", **answer})


def confirm(desk: Client, order: Order, previewed: Any) -> Any:
    """Press the button of a preview."""
    return desk.post(page(order), dict(FIELD.findall(words(previewed))), follow=True)


def test_page_of_a_paid_order_leads_to_its_refund(desk: Client, order: Order) -> None:
    assert page(order) in words(desk.get(reverse("admin:billing_order_change", args=[order.pk])))


def test_preview_says_what_comes_back_and_gives_nothing_back(desk: Client, order: Order) -> None:
    said = words(preview(desk, order, line_1="17"))
    row = re.search(r"<th scope=\"row\">In all</th>(.*?)</tr>", said)
    assert row
    assert re.findall(r"<td>(.*?)</td>", row[1]) == ["$17.00", "$1.00", "$1.00", "$15.00"]
    assert not Refund.objects.exists()


def test_what_was_previewed_is_carried_out(desk: Client, boss: User, order: Order) -> None:
    answer = confirm(desk, order, preview(desk, order, line_1="17", line_2="1.99"))
    assert "Refunded." in words(answer)
    done = Refund.objects.get()
    assert (done.state, done.actor, done.reason) == ("done", boss, "A wish.")
    assert parts(done) == (Decimal("2.99"), 1, 15)


def test_whole_order_is_refunded_line_by_line(desk: Client, order: Order) -> None:
    confirm(desk, order, preview(desk, order, whole="on"))
    assert Refund.objects.get().amount.amount == order.total.amount


def test_button_pressed_twice_refunds_once(desk: Client, order: Order) -> None:
    previewed = preview(desk, order, line_1="17")
    first, second = confirm(desk, order, previewed), confirm(desk, order, previewed)
    assert first.redirect_chain == second.redirect_chain
    assert Refund.objects.count() == 1
    assert SandboxCharge.objects.get().refunded.amount == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "Enter an amount for some lines"),
        ({"whole": "on", "line_1": "1"}, "Enter an amount for some lines"),
        ({"line_1": "340.01"}, "more than is left of the line"),
        ({"line_1": "0.001"}, "no more than 2 decimal places"),
        ({"line_1": "-1"}, "greater than or equal to 0.01"),
        ({"line_1": "1", "reason": ""}, "This field is required"),
    ],
    ids=["nothing", "both", "more", "fraction", "negative", "no-reason"],
)
def test_what_cannot_be_refunded_is_said(desk: Client, order: Order, answer: dict[str, str], said: str) -> None:
    assert said in words(preview(desk, order, **answer))
    assert not Refund.objects.exists()


def test_gateway_that_does_not_answer_is_said(desk: Client, order: Order) -> None:
    with nobody_there():
        assert "asked again every minute" in words(confirm(desk, order, preview(desk, order, line_1="17")))
        assert "has not ended yet" in words(confirm(desk, order, preview(desk, order, line_1="18")))


def test_gateway_that_refuses_is_said(desk: Client, order: Order) -> None:
    SandboxCharge.objects.update(refunded=order.cash)
    assert "nothing has changed" in words(confirm(desk, order, preview(desk, order, line_1="17")))


def test_page_is_for_those_who_may_refund(client: Client, order: Order) -> None:
    looker = User.objects.create_user("looker@example.com", account_id="looker", is_staff=True, created_at=JANUARY)
    looker.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(looker)
    assert page(order) not in words(client.get(reverse("admin:billing_order_change", args=[order.pk])))
    assert client.get(page(order)).status_code == 403
    assert client.post(page(order), {"key": "k", "whole": "on", "reason": "r", "carry_out": "yes"}).status_code == 403
    looker.user_permissions.add(Permission.objects.get(codename="add_refund"))
    assert client.get(page(order)).status_code == 200


def test_customer_never_sees_the_page(client: Client, order: Order) -> None:
    client.force_login(order.customer)
    assert client.get(page(order)).status_code == 302


def test_order_that_is_not_there_has_no_page(desk: Client) -> None:
    assert desk.get(reverse("admin:billing_order_refund", args=[1])).status_code == 404


def test_page_runs_the_same_statements_for_one_line_and_for_five(desk: Client, order: Order) -> None:
    five = buy(order.customer, key="five", ecs=1, rds=1, slb=1, vpc=1, eip=1)
    desk.get(page(order))
    counts = []
    for one in (order, five):
        with CaptureQueriesContext(connection) as captured:
            desk.get(page(one))
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_button_of_the_whole_pressed_twice_refunds_once(desk: Client, order: Order) -> None:
    previewed = preview(desk, order, whole="on")
    first, second = confirm(desk, order, previewed), confirm(desk, order, previewed)
    assert first.redirect_chain == second.redirect_chain
    assert Refund.objects.count() == 1
