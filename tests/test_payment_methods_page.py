"""Payment methods in the console: what is on file, what a removal says, the sandbox's page, and that no card number is
kept anywhere."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.views.debug import get_exception_reporter_filter
from pytest_django import Settings

from accounts.models import User
from accounts.operations import pass_verification
from billing.gateways import Card
from billing.models import PaymentMethod
from billing.operations import add_card, arrange_payment
from tests.facts import NOW, day, register
from tests.markup import faults
from tests.newcomers import identity
from tests.pages import read, words

pytestmark = pytest.mark.django_db(transaction=True)

PAGE, SANDBOX = "/console/payment-methods/", "/console/payment-methods/card/"
CANARY = "4242 4242 4242 4242"
SECOND = timedelta(seconds=1)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def console(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def add(user: User, last_four: str = "4242", *, month: int = 12, year: int = 2030, at: datetime = NOW) -> PaymentMethod:
    card = Card(f"card-{user.pk}-{last_four}", "visa", last_four, month, year, last_four)
    return add_card(customer_id=user.pk, gateway="sandbox", card=card, now=at)


def enter(console: Client, number: str, **expiry: object) -> str:
    """Type a number into the sandbox's page; return the words of the page that comes then."""
    form = {"number": number, "expiry_month": 12, "expiry_year": 2030, **expiry}
    with time_machine.travel(NOW, tick=False):
        response = console.post(SANDBOX, form, follow=True)
    page = response.content.decode()
    assert faults(page) == []
    return words(page)


def rows_of_the_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        text = []
        for table in tables:
            cursor.execute(f'SELECT "{table}"::text FROM "{table}"')
            text += [row for (row,) in cursor.fetchall()]
    return "\n".join(text)


# The list


def test_empty_page_says_what_to_do_next(alice: User) -> None:
    page = read(alice, PAGE)
    assert "No payment method yet" in page
    assert "Add a card" in page


def test_page_shows_each_card_by_brand_and_last_four(alice: User) -> None:
    add(alice)
    add(alice, "4444", month=3, year=2029)
    page = read(alice, PAGE)
    assert "ending in 4242 Default Valid through 12/2030" in page
    assert "4444 Valid through 03/2029" in page


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (day(10, 31) - SECOND, ""),
        (day(10, 31), "Expires soon"),
        (day(12, 1) - SECOND, "Expires soon"),
        (day(12, 1), "Expired at the end of 11/2026"),
    ],
)
def test_card_says_when_it_has_expired_or_soon_will(alice: User, at: datetime, said: str) -> None:
    add(alice, month=11, year=2026, at=day(10, 1))
    page = read(alice, PAGE, at=at)
    assert [word for word in ("Expires soon", "Expired at the end of 11/2026") if word in page] == (
        [said] if said else []
    )
    assert ("Your referral link is off" in page) == (at >= day(12, 1))


def test_expired_card_beside_a_good_one_costs_no_link(alice: User) -> None:
    add(alice, month=11, year=2026)
    add(alice, "4444")
    page = read(alice, PAGE, at=day(12, 1))
    assert "Expired at the end of 11/2026" in page
    assert "Your referral link is off" not in page


def test_what_staff_arranged_is_shown_and_cannot_be_removed(alice: User, console: Client) -> None:
    arrange_payment(customer_id=alice.pk, now=NOW)
    page = read(alice, PAGE)
    assert "Arranged with our support" in page
    assert "Remove" not in page
    address = f"{PAGE}{PaymentMethod.objects.get().pk}/remove/"
    assert console.get(address).status_code == 404
    assert console.post(address).status_code == 404


def test_the_other_step_to_a_link_is_named_until_it_is_done(alice: User, console: Client) -> None:
    assert "Next: verify your identity" not in read(alice, PAGE)
    add(alice, month=11, year=2026)
    assert "Next: verify your identity" in read(alice, PAGE, at=NOW)
    assert "Next: verify your identity" not in read(alice, PAGE, at=day(12, 1))
    pass_verification(user_id=alice.pk, identity=identity("alice"), account_type="individual", now=NOW)
    assert "Next: verify your identity" not in read(alice, PAGE, at=NOW)


def test_page_runs_the_same_statements_for_1_and_10_cards(alice: User, console: Client) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert console.get(PAGE).status_code == 200
        return len(captured)

    add(alice, "0000")
    few = statements()
    for number in range(1, 10):
        add(alice, f"{number:04}")
    assert statements() == few <= 8
    assert "as many as an account may have" in read(alice, PAGE)


def test_default_changes_by_a_button(alice: User, console: Client) -> None:
    add(alice)
    chosen = add(alice, "4444")
    assert "The default payment method has changed." in words(
        console.post(f"{PAGE}{chosen.pk}/default/", follow=True).content.decode()
    )
    chosen.refresh_from_db()
    assert chosen.is_default


# Removal


def test_removal_of_the_last_card_says_what_becomes_of_the_link(alice: User, console: Client) -> None:
    method = add(alice)
    page = read(alice, f"{PAGE}{method.pk}/remove/")
    assert "It is the only one that can be used" in page
    assert "your referral link is off" in page
    assert "Friends who have joined, and the rewards for them, stay." in page
    assert PaymentMethod.objects.on_file().exists()
    console.post(f"{PAGE}{method.pk}/remove/")
    assert not PaymentMethod.objects.on_file().exists()


@pytest.mark.parametrize("expired", [True, False])
def test_last_card_is_the_last_that_can_be_used(alice: User, expired: bool) -> None:
    going = add(alice)
    add(alice, "4444", month=11 if expired else 12, year=2026, at=NOW)
    assert ("It is the only one" in read(alice, f"{PAGE}{going.pk}/remove/", at=day(12, 1))) == expired


def test_removal_of_the_default_names_the_next(alice: User) -> None:
    going = add(alice)
    add(alice, "4444", at=NOW + SECOND)
    assert "Visa •••• 4444 takes its place." in read(alice, f"{PAGE}{going.pk}/remove/")


def test_removal_of_another_changes_nothing_else(alice: User) -> None:
    add(alice)
    other = add(alice, "4444")
    assert "Your other payment methods stay as they are." in read(alice, f"{PAGE}{other.pk}/remove/")


def test_card_of_somebody_else_is_not_found(alice: User) -> None:
    method = add(alice)
    mallory = Client()
    mallory.force_login(register("mallory"))
    assert mallory.get(f"{PAGE}{method.pk}/remove/").status_code == 404
    assert mallory.post(f"{PAGE}{method.pk}/remove/").status_code == 404
    assert mallory.post(f"{PAGE}{method.pk}/default/").status_code == 404
    method.refresh_from_db()
    assert (method.removed_at, method.is_default) == (None, True)


@pytest.mark.parametrize("address", [PAGE, SANDBOX, f"{PAGE}return/", f"{PAGE}1/remove/"])
def test_visitor_is_asked_to_sign_in(client: Client, address: str) -> None:
    assert client.get(address)["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("address", [f"{PAGE}add/", f"{PAGE}1/default/"])
def test_what_changes_something_is_no_link(console: Client, address: str) -> None:
    assert console.get(address).status_code == 405


# The sandbox's page


def test_button_leads_to_the_sandbox_and_its_card_comes_on_file(alice: User, console: Client) -> None:
    assert console.post(f"{PAGE}add/")["Location"] == SANDBOX
    assert "4242 4242 4242 4242 Accepted: Visa" in read(alice, SANDBOX)
    assert "Visa ending in 4242 is on file." in enter(console, CANARY)
    assert PaymentMethod.objects.get(customer=alice).is_default


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("4000 0000 0000 0002", "The card was declined."),
        ("4000 0000 0000 0069", "The card has expired."),
        ("4111 1111 1111 1111", "This is no test number. Never enter a real card here"),
        ("5105105105105100", "This is no test number."),
        ("", "This field is required."),
    ],
)
def test_refused_number_is_said_to_be_and_never_repeated(console: Client, number: str, said: str) -> None:
    form = {"number": number, "expiry_month": 12, "expiry_year": 2030}
    with time_machine.travel(NOW, tick=False):
        response = console.post(SANDBOX, form)
    page = response.content.decode()
    assert response.status_code == 200
    assert said in words(page)
    assert f'value="{number}"' not in page
    assert not PaymentMethod.objects.exists()


def test_month_that_is_over_is_refused(console: Client) -> None:
    assert "The card has expired." in enter(console, CANARY, expiry_month=10, expiry_year=2026)
    assert "is on file" in enter(console, CANARY, expiry_month=11, expiry_year=2026)


@pytest.mark.parametrize("expiry", [{"expiry_month": 13}, {"expiry_year": 1999}, {"expiry_year": "x"}])
def test_expiry_that_is_none_is_refused(console: Client, expiry: dict[str, object]) -> None:
    assert "is not one of the available choices" in enter(console, CANARY, **expiry)


def test_number_is_kept_nowhere(
    alice: User, console: Client, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    """Neither that of a card that comes on file nor one that is typed in by mistake."""
    mistaken = "4929 1234 5678 9012"
    with caplog.at_level(logging.DEBUG):
        pages = enter(console, CANARY) + enter(console, mistaken) + read(alice, PAGE)
        raw = console.post(SANDBOX, {"number": mistaken, "expiry_month": 12, "expiry_year": 2030}).content.decode()
    everywhere = rows_of_the_database() + caplog.text + pages + raw
    assert "is on file" in pages
    assert mistaken not in everywhere
    assert mistaken.replace(" ", "") not in everywhere
    assert CANARY.replace(" ", "") not in everywhere


def test_number_is_hidden_from_reports_of_errors(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fault(Exception): ...

    def fail(**arguments: object) -> None:
        raise Fault

    monkeypatch.setattr("billing.payment_views.save_card", fail)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    with time_machine.travel(NOW, tick=False):
        response = client.post(SANDBOX, {"number": CANARY, "expiry_month": 12, "expiry_year": 2030})
    assert response.status_code == 500
    shown = get_exception_reporter_filter(response.wsgi_request).get_post_parameters(response.wsgi_request)
    assert shown["number"] != CANARY
    assert mail.outbox == []


def test_sandbox_has_no_page_where_another_gateway_is_in_use(console: Client, settings: Settings) -> None:
    settings.PAYMENT_GATEWAY = "stripe"
    settings.STRIPE_SECRET_KEY = "sk_test_1"
    assert console.get(SANDBOX).status_code == 404
    assert console.post(SANDBOX, {"number": CANARY}).status_code == 404


def test_policy_stays_closed_in_the_sandbox_and_opens_for_stripes_page_alone(
    console: Client, settings: Settings
) -> None:
    def policy() -> str:
        return str(console.get(PAGE)["Content-Security-Policy"])

    assert "form-action 'self';" in f"{policy()};"
    settings.PAYMENT_GATEWAY = "stripe"
    settings.STRIPE_SECRET_KEY = "sk_test_1"
    opened = policy()
    assert "form-action 'self' https://checkout.stripe.com" in opened
    assert opened.count("stripe") == 1
    assert "stripe" not in console.get("/console/verification/")["Content-Security-Policy"]


def test_refer_page_follows_the_expiry_of_the_card(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    add(alice, month=11, year=2026)
    assert "Your link" in read(alice, "/console/refer/", at=day(12, 1) - SECOND)
    assert "Before you get your link" in read(alice, "/console/refer/", at=day(12, 1))
