"""Account › Profile: what customers say of themselves, and the change of their address."""

from __future__ import annotations

import zoneinfo
from typing import Any
from urllib.parse import unquote

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from pytest_django import Settings

from accounts.models import KnownIdentifier, OutboxMessage, User
from accounts.operations import UnableToChangeAddress, address_digest, change_address
from accounts.profile_forms import is_first_name
from credits.models import Coupon
from referrals.models import Referral
from tests.facts import NOW, register
from tests.markup import faults
from tests.newcomers import CONFIRM, PASSWORD, fill_in, mailed_code, referrer, sign_up
from tests.pages import words

pytestmark = pytest.mark.django_db(transaction=True)

PROFILE = "/console/profile/"
ADDRESS = "/console/profile/address/"
CLOSE = "/console/profile/close/"
NEW = "alice@example.org"

CHOICES = {"public_first_name": "Alice", "language": "de", "time_zone": "Europe/Lisbon", "wants_credit_mail": "on"}


@pytest.fixture
def alice() -> User:
    return with_password(register("alice"))


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's browser, in which she has entered her password once more."""
    client = Client()
    client.force_login(alice)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def with_password(user: User) -> User:
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def seen(response: Any) -> str:
    page = response.content.decode()
    assert faults(page) == []
    return words(page)


# What customers choose


def test_choices_are_kept_and_shown_again(browser: Client, alice: User) -> None:
    assert browser.post(PROFILE, CHOICES)["Location"] == PROFILE
    alice.refresh_from_db()
    assert (alice.public_first_name, alice.language, alice.time_zone) == ("Alice", "de", "Europe/Lisbon")
    kinds = ("friend", "credit", "expiry", "account")
    assert [getattr(alice, f"wants_{kind}_mail") for kind in kinds] == [False, True, False, False]
    page = browser.get(PROFILE)
    assert page["Content-Language"] == "de"
    assert 'value="Alice"' in page.content.decode()
    assert "Europe/Lisbon" in seen(page)


def test_language_may_be_left_to_the_browser(browser: Client, alice: User) -> None:
    browser.post(PROFILE, {**CHOICES, "language": ""})
    alice.refresh_from_db()
    assert alice.language == ""


def test_mails_about_money_held_or_lost_cannot_be_switched_off(browser: Client) -> None:
    page = browser.get(PROFILE)
    assert '<input type="checkbox" id="id_always_on" checked disabled>' in page.content.decode()
    assert "Credit is held, refused or taken back" in seen(page)


@pytest.mark.parametrize("name", ["José", "Anne-Marie", "O’Neil", "D'Arcy", "Mary Jane", "李雷", "प्रिया", "A" * 40, ""])
def test_first_name_of_any_script_is_taken(browser: Client, alice: User, name: str) -> None:
    assert browser.post(PROFILE, {**CHOICES, "public_first_name": name}).status_code == 302
    alice.refresh_from_db()
    assert alice.public_first_name == name


@pytest.mark.parametrize(
    "name", ["A" * 41, "alice@example.com", "example.com", "Alice1", "Buy now and save", "--", "-Al", "A\u202eB", "<b>"]
)
def test_what_is_no_first_name_is_refused(browser: Client, alice: User, name: str) -> None:
    answer = browser.post(PROFILE, {**CHOICES, "public_first_name": name})
    assert answer.status_code == 200
    assert "public_first_name" in answer.context["form"].errors
    alice.refresh_from_db()
    assert alice.public_first_name == ""


def test_a_first_name_has_three_parts_at_most() -> None:
    assert is_first_name("Anna-Lena Marie")
    assert not is_first_name("Anna-Lena Marie Luise")


def test_every_zone_of_the_database_can_be_chosen(browser: Client) -> None:
    regions = browser.get(PROFILE).context["form"].fields["time_zone"].choices
    offered = {name for _, zones in regions for name, _ in zones}
    assert offered >= zoneinfo.available_timezones() - {"Factory", "localtime"}


@pytest.mark.parametrize(("field", "value"), [("time_zone", "Mars/Olympus"), ("language", "xx")])
def test_what_is_not_offered_is_refused(browser: Client, field: str, value: str) -> None:
    assert field in browser.post(PROFILE, {**CHOICES, field: value}).context["form"].errors


@pytest.mark.parametrize("address", [PROFILE, ADDRESS, CLOSE])
def test_visitors_are_asked_to_sign_in(client: Client, address: str) -> None:
    assert client.get(address)["Location"] == f"/accounts/login/?next={address}"


# The change of address


def test_address_changes_once_its_code_is_entered(browser: Client, alice: User) -> None:
    answer = browser.post(ADDRESS, {"email": "Alice@example.org"})
    assert answer["Location"].startswith(CONFIRM)
    assert mail.outbox[-1].to == [NEW]
    page = browser.get(answer["Location"])
    assert "When you enter it, this is your address from then on." in seen(page)
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    assert browser.post(CONFIRM, {"code": mailed_code(), "next": PROFILE})["Location"] == PROFILE
    alice.refresh_from_db()
    assert alice.email == NEW
    assert list(EmailAddress.objects.values_list("email", "verified", "primary")) == [(NEW, True, True)]
    assert f"{NEW} is confirmed." in seen(browser.get(PROFILE))


def test_former_address_is_told_and_stays_known(browser: Client, alice: User) -> None:
    browser.post(ADDRESS, {"email": NEW})
    browser.post(CONFIRM, {"code": mailed_code()})
    told = OutboxMessage.objects.get(kind="address_changed")
    assert (told.recipient, told.customer) == ("alice@example.com", alice)
    known = KnownIdentifier.objects.get()
    assert (known.kind, known.digest, known.customer) == ("email", address_digest("alice@example.com"), alice)


def test_whoever_signs_up_with_a_former_address_is_an_existing_customer(client: Client, alice: User) -> None:
    change_address(user_id=alice.pk, email=NEW, now=NOW)
    client.get(f"/r/{referrer('ann').code}/")
    again = sign_up(client, "alice@example.com")
    assert not Referral.objects.exists()
    assert [coupon.kind for coupon in Coupon.objects.filter(customer=again.pk)] == ["trial"]


def test_who_takes_a_former_address_back_keeps_it_known_once(alice: User) -> None:
    for email in (NEW, "alice@example.com", NEW):
        change_address(user_id=alice.pk, email=email, now=NOW)
    assert KnownIdentifier.objects.count() == 2


def test_password_is_asked_for_once_more(client: Client, alice: User) -> None:
    client.force_login(alice)
    for address in (ADDRESS, CLOSE):
        assert unquote(client.get(address)["Location"]) == f"/accounts/reauthenticate/?next={address}"
        assert client.post(address, {"email": NEW})["Location"].startswith("/accounts/reauthenticate/")
    assert not mail.outbox
    alice.refresh_from_db()
    assert alice.closed_at is None


def test_third_wrong_code_leaves_the_address_as_it_was(browser: Client, alice: User) -> None:
    browser.post(ADDRESS, {"email": NEW})
    for _ in range(2):
        assert "Incorrect code" in seen(browser.post(CONFIRM, {"code": "ZZZZZZ"}))
    page = browser.post(CONFIRM, {"code": "ZZZZZZ"}, follow=True)
    assert "Your address is as it was; ask for a new code." in seen(page)
    assert page.request["PATH_INFO"] == PROFILE
    browser.post(CONFIRM, {"code": mailed_code()})
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"


def test_code_that_has_run_out_leaves_the_address_as_it_was(browser: Client, settings: Settings) -> None:
    browser.post(ADDRESS, {"email": NEW})
    settings.ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = -1
    page = browser.post(CONFIRM, {"code": mailed_code()}, follow=True)
    assert "This code has run out. Your address is as it was" in seen(page)


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@example.com", "no address", f"{'a' * 250}@example.com"])
def test_address_that_cannot_be_taken_keeps_the_form(browser: Client, email: str) -> None:
    assert "email" in browser.post(ADDRESS, {"email": email}).context["form"].errors
    assert not mail.outbox


def test_another_accounts_address_looks_no_different_and_is_told_by_mail(browser: Client) -> None:
    register("bob")
    pages = []
    for email in (NEW, "bob@example.com"):
        answer = browser.post(ADDRESS, {"email": email})
        page = browser.get(answer["Location"]).content.decode().replace(email, "")
        wrong = browser.post(CONFIRM, {"code": "ZZZZZZ"}).content.decode().replace(email, "")
        pages.append([line for line in (page + wrong).splitlines() if "csrfmiddlewaretoken" not in line])
    assert pages[0] == pages[1]
    assert mail.outbox[-1].to == ["bob@example.com"]
    assert "There is an account with it already" in mail.outbox[-1].body


def test_sign_up_that_nobody_confirmed_gives_way(browser: Client, alice: User) -> None:
    fill_in(Client(), NEW)
    browser.post(ADDRESS, {"email": NEW})
    browser.post(CONFIRM, {"code": mailed_code()})
    assert User.objects.get(email=NEW) == alice


def test_address_that_another_account_takes_meanwhile_is_not_taken_away(browser: Client, alice: User) -> None:
    browser.post(ADDRESS, {"email": NEW})
    code = mailed_code()
    bob = register("bob")
    change_address(user_id=bob.pk, email=NEW, now=NOW)
    page = browser.post(CONFIRM, {"code": code, "next": PROFILE}, follow=True)
    assert "Your address could not be changed." in seen(page)
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"


@pytest.mark.parametrize(("email", "code"), [("bob@example.com", "email"), ("Bob@Example.com", "email")])
def test_operation_refuses_what_is_anothers(alice: User, email: str, code: str) -> None:
    with_password(register("bob"))
    with pytest.raises(UnableToChangeAddress) as refusal:
        change_address(user_id=alice.pk, email=email, now=NOW)
    assert refusal.value.code == code
    assert not OutboxMessage.objects.exists()
    assert not KnownIdentifier.objects.exists()


def test_same_address_changes_nothing(alice: User) -> None:
    assert not change_address(user_id=alice.pk, email="ALICE@example.com", now=NOW)
    assert not OutboxMessage.objects.exists()


def test_account_that_is_not_there_has_no_address_to_change() -> None:
    with pytest.raises(UnableToChangeAddress, match="no registered account"):
        change_address(user_id=0, email=NEW, now=NOW)


# Closing


def test_closing_says_in_figures_first_what_goes(alice: User, browser: Client) -> None:
    page = seen(browser.get(CLOSE))
    for line in ("Credit that you lose $0.00", "Rewards that lapse $0.00", "$300.00", "Debts written off $0.00"):
        assert line in page
    assert "Your link goes off" not in page


def test_customer_closes_the_account_and_is_signed_out(browser: Client, alice: User) -> None:
    answer = browser.post(CLOSE, follow=True)
    assert answer.redirect_chain == [("/accounts/closed/", 302)]
    assert "Your account is closed" in seen(answer)
    alice.refresh_from_db()
    assert alice.closed_at is not None
    assert browser.get("/console/").status_code == 302


def test_staff_do_not_close_their_account_there(client: Client) -> None:
    staff = with_password(User.objects.create_superuser("staff@example.com", PASSWORD, created_at=NOW))
    client.force_login(staff)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    answer = client.post(CLOSE)
    assert answer.status_code == 409
    assert "The account could not be closed." in seen(answer)
