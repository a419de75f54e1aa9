"""Short words for what newcomers do in a browser, and for customers who may refer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.operations import Identity, add_payment_method, pass_verification
from referrals.models import ReferralLink
from tests.facts import register

PASSWORD = "correct-horse-battery"
SIGN_UP = "/accounts/signup/"
CONFIRM = "/accounts/confirm-email/"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def identity(number: str) -> Identity:
    return Identity("DE", "passport", number)


def referrer(name: str, *, at: datetime = NOW) -> ReferralLink:
    """A registered customer who may refer, and their link."""
    user = register(name)
    add_payment_method(user_id=user.pk, now=at)
    pass_verification(user_id=user.pk, identity=identity(f"P-{name}"), account_type="individual", now=at)
    return ReferralLink.objects.get(owner=user)


def fill_in(client: Client, email: str, **fields: str) -> Any:
    """Send the sign-up form off as the page has it, with the fields that the visitor changes."""
    page = client.get(SIGN_UP)
    brought = page.context["form"]["referral_code"].value() or "" if page.status_code == 200 else ""
    form = {"email": email, "password1": PASSWORD, "country": "DE", "referral_code": brought, **fields}
    return client.post(SIGN_UP, form)


def sign_up_form(page: str) -> dict[str, str]:
    """What the fields of the sign-up form on a page hold."""
    reader = Inputs()
    reader.feed(page)
    return reader.values


class Inputs(HTMLParser):
    """Reads the inputs of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and (given.get("type") != "radio" or "checked" in given):
            self.values[given.get("name") or ""] = given.get("value") or ""


def mailed_code() -> str:
    """The code in the last mail."""
    lines = mail.outbox[-1].body.splitlines()
    return next(line for line in lines if re.fullmatch(r"[A-Z0-9]+-?[A-Z0-9]+", line))


def confirm(client: Client, code: str | None = None) -> Any:
    return client.post(CONFIRM, {"code": code or mailed_code()})


def sign_up(client: Client, email: str, **fields: str) -> User:
    """Sign up and enter the code that is mailed."""
    assert fill_in(client, email, **fields).status_code == 302
    assert confirm(client).status_code == 302
    return User.objects.get(email=email)
