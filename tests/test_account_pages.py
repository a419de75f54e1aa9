"""The pages of one's account are the site's own, from sign-in to the second factor; so are its mails."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.template.loader import render_to_string
from django.test import Client

from accounts.models import User
from tests.facts import register
from tests.markup import faults
from tests.newcomers import PASSWORD, fill_in, referrer
from tests.pages import words

pytestmark = pytest.mark.django_db(transaction=True)

RESET = "/accounts/password/reset/"


@pytest.fixture
def alice() -> User:
    """A customer with a password."""
    alice = register("alice")
    alice.set_password(PASSWORD)
    alice.save(update_fields=["password"])
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


def seen(response: Any) -> str:
    """The words of a page that is the site's own."""
    page = response.content.decode()
    assert 'class="site-header"' in page
    assert faults(page) == []
    return words(page)


@pytest.mark.parametrize(
    ("address", "heading"),
    [
        ("/", "Refer a friend, earn up to $300 of credit for each"),
        ("/accounts/login/", "Sign in"),
        ("/accounts/signup/", "Sign up"),
        ("/r/nobody/", "This link is not active"),
        ("/accounts/inactive/", "This account is closed"),
        ("/accounts/closed/", "Your account is closed"),
        (RESET, "Forgotten password"),
        (f"{RESET}done/", "Look into your mail"),
        (f"{RESET}key/1-nothing/", "This link does not work any more"),
        (f"{RESET}key/done/", "Your password is changed"),
    ],
)
def test_pages_for_visitors_are_the_sites_own(client: Client, address: str, heading: str) -> None:
    assert heading in seen(client.get(address))


@pytest.mark.parametrize(
    ("address", "heading"),
    [
        ("/accounts/logout/", "You are signed in as alice@example.com."),
        ("/accounts/password/change/", "Change your password Current password Forgot your password? New password"),
        ("/accounts/reauthenticate/", "Is it you?"),
        ("/accounts/2fa/", "Security Password You sign in with it and your e-mail address."),
    ],
)
def test_pages_of_an_account_are_the_sites_own(client: Client, alice: User, address: str, heading: str) -> None:
    client.force_login(alice)
    assert heading in seen(client.get(address))


def test_account_without_a_password_chooses_one(client: Client) -> None:
    bob = register("bob")
    bob.set_unusable_password()
    bob.save(update_fields=["password"])
    client.force_login(bob)
    assert "Choose a password" in seen(client.get("/accounts/password/set/"))


def test_page_for_the_code_is_the_sites_own(client: Client) -> None:
    fill_in(client, "bob@example.com")
    page = client.get("/accounts/confirm-email/")
    assert "Confirm your e-mail address" in seen(page)
    assert '<span class="nowrap">e-mail</span>' in page.content.decode()


def test_staying_signed_in_is_a_tick_before_its_words(client: Client) -> None:
    page = client.get("/accounts/login/").content.decode()
    assert re.search(r'<input type="checkbox" name="remember"[^>]*> <label for="id_remember">Stay signed in<', page)


def test_code_says_where_it_comes_from(client: Client) -> None:
    assert "Leave it empty if nobody invited you." in seen(client.get("/accounts/signup/"))
    invited = seen(client.get(f"/r/{referrer('alice').code}/"))
    assert "From the link that you followed." in invited
    assert "Leave it empty" not in invited


def test_forgotten_password_is_chosen_anew(client: Client, alice: User) -> None:
    assert "is on its way" in seen(client.post(RESET, {"email": alice.email}, follow=True))
    letter = mail.outbox[-1]
    assert letter.subject == "Choose a new password for Example Cloud"
    assert "If it was not, ignore this mail: your password stays as it is." in letter.body
    address = re.search(r"http\S+(/accounts/password/reset/key/\S+)", str(letter.body))
    assert address
    form = client.get(address[1], follow=True)
    assert "Choose a new password" in seen(form)
    chosen = {"password1": "a meadow of herons", "password2": "a meadow of herons"}
    answer = client.post(form.redirect_chain[-1][0], chosen, follow=True)
    assert "Your password is changed" in seen(answer)
    assert client.login(email=alice.email, password="a meadow of herons")
    assert "This link does not work any more" in seen(client.get(address[1], follow=True))


def test_unknown_address_is_told_in_a_mail_only(client: Client) -> None:
    assert "is on its way" in seen(client.post(RESET, {"email": "nobody@example.com"}, follow=True))
    letter = mail.outbox[-1]
    assert letter.subject == "You have no account with Example Cloud"
    assert "There is no such account, so there is nothing to change." in letter.body
    assert "/accounts/signup/" in letter.body


def test_changed_password_is_told_in_a_mail(client: Client, alice: User) -> None:
    client.force_login(alice)
    chosen = {"oldpassword": PASSWORD, "password1": "a meadow of herons", "password2": "a meadow of herons"}
    answer = client.post("/accounts/password/change/", chosen, follow=True)
    assert "Your password is changed." in words(answer.content.decode())


@pytest.mark.parametrize("name", ["password_changed", "password_reset", "password_set"])
def test_notice_of_a_change_says_when_and_whence(name: str) -> None:
    context = {"timestamp": "1 May 2026", "ip": "192.0.2.1", "user_agent": "a browser"}
    body = render_to_string(f"account/email/{name}_message.txt", context)
    assert "It was done on 1 May 2026, from the address 192.0.2.1, with a browser." in body
    assert body.rstrip().endswith("Example Cloud")


def test_second_factor_is_set_up_used_and_switched_off(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert "Is it you?" in seen(client.get("/accounts/2fa/totp/activate/", follow=True))
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    assert "Set up your authenticator app" in seen(page)
    secret = page.context["form"].secret
    codes = client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)}, follow=True)
    assert "10 of 10 are left." in seen(codes)
    assert "10 are left." in seen(client.get("/accounts/2fa/"))
    assert "New recovery codes" in seen(client.get("/accounts/2fa/recovery-codes/generate/"))
    assert "Switch off your authenticator app" in seen(client.get("/accounts/2fa/totp/deactivate/"))

    again = Client()
    asked = again.post("/accounts/login/", {"login": alice.email, "password": PASSWORD}, follow=True)
    assert "Enter your code" in seen(asked)

    off = client.post("/accounts/2fa/totp/deactivate/", follow=True)
    assert "Your authenticator app is off." in seen(off)


def code_of(secret: str) -> str:
    """What the app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))
