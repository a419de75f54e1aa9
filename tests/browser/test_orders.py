"""Orders in a real browser, on a desk and on a phone: paid in three ways, declined, pressed twice, with an answer that
is lost, and refunded in part by staff. The site is the test's own, so that it can give credit."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from accounts.models import User
from billing.gateways import Card
from billing.models import Order, SandboxCharge
from billing.operations import add_card, finish_orders, set_default_card
from credits.models import Coupon, CouponEntry
from credits.operations import NewCoupon, issue_coupons
from tests.browser.test_newcomers import PHONE, opened
from tests.facts import register

__all__ = ["opened"]  # a fixture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]

DESK = {"viewport": {"width": 1280, "height": 900}}
on_a_desk_and_a_phone = pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])

Open = Callable[..., Page]


@pytest.fixture
def olga() -> User:
    """A customer with a trial of $300, coupons of $5 and $3, and a card."""
    now = timezone.now()
    olga = register("olga", at=now - timedelta(days=10))
    coupons = [goodwill(olga, "5", now + timedelta(days=30)), goodwill(olga, "3", now + timedelta(days=60))]
    with transaction.atomic():
        issue_coupons(coupons=coupons, now=now)
    pay_with(olga, "accepted")
    return olga


def goodwill(customer: User, amount: str, until: datetime) -> NewCoupon:
    source = f"goodwill:{amount}"
    return NewCoupon(customer.pk, "goodwill", None, source, Decimal(amount), timezone.now() - timedelta(days=5), until)


def pay_with(customer: User, outcome: str) -> None:
    """Put a test card on file that is charged with this outcome, as the default."""
    name = f"sandbox-{outcome}-{customer.account_id}"
    now = timezone.now()
    card = Card(name, "visa", "4242", 12, now.year + 3, name)
    method = add_card(customer_id=customer.pk, gateway="sandbox", card=card, now=now)
    set_default_card(customer_id=customer.pk, method_id=method.pk, now=now)


def come_as(page: Page, origin: str, user: User) -> Page:
    client = Client()
    client.force_login(user)
    page.context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": origin}])
    return page


@pytest.fixture
def olgas(opened: Open, live_server: Any, olga: User) -> Callable[[dict[str, Any]], Page]:
    """Opens a browser in which olga is signed in."""
    return lambda device: come_as(opened(**device), live_server.url, olga)


def choose(page: Page, quantities: dict[str, str]) -> None:
    """Choose so much of each product, and go to the checkout."""
    page.goto("/console/catalogue/")
    for name, quantity in quantities.items():
        page.get_by_role("spinbutton", name=f"Quantity of {name}", exact=True).fill(quantity)
    page.get_by_role("button", name="Go to checkout").click()
    expect(page.get_by_role("heading", name="Checkout")).to_be_visible()


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("row").filter(has_text=text)


def cells(page: Page, text: str) -> str:
    return " ".join(row(page, text).first.inner_text().split())


def see_the_state(page: Page, state: str) -> Order:
    """Wait for the page of the order that was placed last."""
    page.wait_for_url(re.compile(r"/console/orders/\w+/$"))
    order = Order.objects.latest("pk")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {order.number}")
    expect(page.locator(".heading .badge")).to_have_text(state)
    return order


@on_a_desk_and_a_phone
def test_trial_two_coupons_and_a_card_pay_what_was_shown(olgas: Callable[..., Page], device: dict[str, Any]) -> None:
    page = olgas(device)
    choose(page, {"Elastic Compute Service": "40", "DNS": "1"})
    # 40 x $8.50: the trial pays $300, the coupons $5 and $3; DNS takes no credit.
    for amount in ("$300.00", "$8.00", "$32.00", "$340.00"):
        expect(row(page, "Elastic Compute Service")).to_contain_text(amount)
    expect(row(page, "DNS")).to_contain_text("Credit does not pay for DNS.")
    page.get_by_role("button", name="Pay $33.20").click()
    order = see_the_state(page, "Paid")
    paid = page.get_by_role("region", name="Paid with")
    for words in ("$300.00", "$5.00", "$3.00", "4242", "$33.20", "$341.20"):
        expect(paid).to_contain_text(words)
    assert SandboxCharge.objects.get().amount.amount == Decimal("33.20")
    left = {coupon.kind: coupon.remaining.amount for coupon in Coupon.objects.filter(customer=order.customer_id)}
    assert set(left.values()) == {0}

    page.get_by_role("link", name="Invoice").click()
    expect(page.get_by_role("heading", name=f"Invoice {order.number}")).to_be_visible()
    page.goto("/console/orders/")
    expect(row(page, order.number).first).to_contain_text("Paid")
    expect(row(page, f"{order.number}-1")).to_contain_text("Counts")
    expect(row(page, f"{order.number}-2")).to_contain_text("Does not count")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no_script"])
def test_the_bar_covers_nothing_until_something_is_chosen(
    opened: Open, live_server: Any, olga: User, script: bool
) -> None:
    page = come_as(opened(**PHONE, java_script_enabled=script), live_server.url, olga)
    page.goto("/console/catalogue/")
    bar = page.locator("#basket")
    expect(bar).to_contain_text("Nothing chosen yet")
    expect(bar).not_to_be_in_viewport()
    if script:
        page.get_by_role("spinbutton", name="Quantity of Elastic Compute Service", exact=True).fill("2")
        page.keyboard.press("Tab")
    else:
        page.goto("/console/catalogue/?item=ecs:2")
    expect(bar).to_contain_text("1 product · $17.00")
    expect(bar).to_be_in_viewport(ratio=1)
    box = bar.bounding_box()
    assert box
    assert box["height"] <= 72, "a line, and a button beside it"


@on_a_desk_and_a_phone
def test_a_coupon_that_is_left_out_stays(olgas: Callable[..., Page], device: dict[str, Any]) -> None:
    page = olgas(device)
    choose(page, {"Elastic Compute Service": "1"})
    page.get_by_role("checkbox", name="Free trial").uncheck()
    expect(page).to_have_url(re.compile(r"without=\d+"))
    expect(page.get_by_role("button", name="Pay $0.50")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Free trial")).not_to_be_checked()
    page.get_by_role("button", name="Pay $0.50").click()
    see_the_state(page, "Paid")
    assert Coupon.objects.get(kind="trial").remaining.amount == 300


@on_a_desk_and_a_phone
def test_a_declined_card_leaves_credit_and_another_one_pays(
    olgas: Callable[..., Page], olga: User, device: dict[str, Any]
) -> None:
    pay_with(olga, "not-charged")
    page = olgas(device)
    choose(page, {"Elastic Compute Service": "40"})
    page.get_by_role("button", name="Pay $32.00").click()
    see_the_state(page, "Not paid")
    expect(page.get_by_role("status")).to_contain_text("The card was declined. Nothing was charged")
    assert not CouponEntry.objects.filter(type="REDEEM").exists()
    pay_with(olga, "shared")
    page.get_by_role("link", name="Try again").click()
    page.get_by_role("button", name="Pay $32.00").click()
    see_the_state(page, "Paid")
    assert Order.objects.count() == 2


@on_a_desk_and_a_phone
def test_a_double_click_and_the_way_back_order_once(olgas: Callable[..., Page], device: dict[str, Any]) -> None:
    page = olgas(device)
    choose(page, {"DNS": "2"})
    page.get_by_role("button", name="Pay $2.40").dblclick()
    see_the_state(page, "Paid")
    page.go_back()
    expect(page.get_by_role("heading", name="You have placed this order already")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Pay")).to_have_count(0)
    page.get_by_role("link", name="See the order").click()
    see_the_state(page, "Paid")
    assert (Order.objects.count(), SandboxCharge.objects.count()) == (1, 1)


@on_a_desk_and_a_phone
def test_a_reload_while_the_answer_is_lost_charges_once(
    olgas: Callable[..., Page], olga: User, device: dict[str, Any]
) -> None:
    pay_with(olga, "unanswered")
    page = olgas(device)
    choose(page, {"Elastic Compute Service": "40"})
    page.get_by_role("button", name="Pay $32.00").click()
    see_the_state(page, "Being paid")
    page.reload()
    see_the_state(page, "Being paid")
    page.go_back()
    expect(page.get_by_role("heading", name="You have placed this order already")).to_be_visible()
    page.get_by_role("link", name="See the order").click()
    see_the_state(page, "Being paid")
    # As the job does a minute later; the page finds out by itself.
    finish_orders(now=timezone.now() + timedelta(minutes=2))
    see_the_state(page, "Paid")
    expect(page.get_by_role("heading", name="Your order is being paid")).to_have_count(0)
    assert (Order.objects.count(), SandboxCharge.objects.count()) == (1, 1)


def test_without_javascript_an_order_is_chosen_changed_and_paid(olgas: Callable[..., Page], olga: User) -> None:
    pay_with(olga, "unanswered")
    page = olgas({**PHONE, "java_script_enabled": False})
    choose(page, {"DNS": "2"})
    page.get_by_role("spinbutton", name="Quantity of DNS").fill("3")
    page.get_by_role("button", name="Pay $2.40").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was ordered: a quantity")
    page.get_by_role("spinbutton", name="Quantity of DNS").fill("4")
    page.get_by_role("button", name="Update").click()
    page.get_by_role("button", name="Pay $4.80").click()
    see_the_state(page, "Being paid")
    finish_orders(now=timezone.now() + timedelta(minutes=2))
    page.get_by_role("link", name="Look again").click()
    see_the_state(page, "Paid")


@on_a_desk_and_a_phone
def test_staff_refund_a_part_and_the_coupons_say_so(
    opened: Open, live_server: Any, olgas: Callable[..., Page], device: dict[str, Any]
) -> None:
    page = olgas(device)
    choose(page, {"Elastic Compute Service": "40"})
    page.get_by_role("button", name="Pay $32.00").click()
    order = see_the_state(page, "Paid")

    boss = get_user_model().objects.create_superuser(
        "boss@example.com", account_id="boss", created_at=timezone.now() - timedelta(days=1)
    )
    desk = come_as(opened(**device), live_server.url, boss)
    desk.goto(f"/admin/billing/order/{order.pk}/refund/")
    desk.get_by_label(re.compile("Elastic Compute Service")).fill("34")
    desk.get_by_label("Reason").fill("Four of them never ran.")
    desk.get_by_role("button", name="Preview").click()
    desk.get_by_role("button", name="Refund $34.00").click()
    expect(desk.get_by_text("Refunded.")).to_be_visible()

    page.reload()
    refund = page.get_by_role("region", name="What came back")
    # A tenth of the line: $30 of trial, $0.80 of credit, $3.20 of money.
    for amount in ("$30.00", "$0.80", "$3.20", "$34.00", "this order cost $306.00"):
        expect(refund).to_contain_text(amount)
    expect(page.get_by_role("region", name="Paid with")).to_contain_text("$0.80 came back")
    # In reverse order of use: the coupon of $3, which was used last.
    page.get_by_role("region", name="Paid with").get_by_role("link", name="Goodwill credit").last.click()
    expect(page.get_by_role("heading", name="Goodwill credit of $3.00")).to_be_visible()
    entries = [" ".join(text.split()) for text in page.get_by_role("table").locator("tbody tr").all_inner_texts()]
    assert re.search(rf"Used Order {order.number} .*3\.00.* \$0\.00$", entries[1]), entries
    assert re.search(rf"Returned Order {order.number} .*\+\$0\.80.* \$0\.80$", entries[2]), entries
    page.goto("/console/coupons/?show=usable")
    expect(row(page, "Free trial")).to_contain_text("$30.00")
