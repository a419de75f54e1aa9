"""No form tells whether an address has an account: not in its words, not in its status, not in its time."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from tests.facts import register
from tests.newcomers import PASSWORD, SIGN_UP

pytestmark = pytest.mark.django_db(transaction=True)

# The product's own, which takes its time on purpose.
REAL_HASHER = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]

ROUNDS = 9
MOST_APART = 2
"""Times as long as the other: a hash more or less is ten times as long."""

_numbers = count()
Form = Callable[[str], Any]


@pytest.fixture(autouse=True)
def as_in_the_product(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = REAL_HASHER
    settings.ACCOUNT_RATE_LIMITS = dict.fromkeys(
        ("signup", "login", "login_failed", "reset_password", "confirm_email", "manage_email", "enter_code")
    )


@pytest.fixture
def carol() -> User:
    """Who has an account, with a password."""
    user = register("carol")
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def signed_in() -> Client:
    """The browser of another customer, who has entered the password once more."""
    mallory = register(f"mallory-{next(_numbers)}")
    mallory.set_password(PASSWORD)
    mallory.save(update_fields=["password"])
    client = Client()
    client.force_login(mallory)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def forms(name: str) -> Form:
    browser = signed_in() if name == "change of address" else None
    ways: dict[str, Form] = {
        "sign-up": lambda email: Client().post(SIGN_UP, {"email": email, "password1": PASSWORD, "country": "DE"}),
        "sign-in": lambda email: Client().post("/accounts/login/", {"login": email, "password": "wrong-guess"}),
        "reset": lambda email: Client().post("/accounts/password/reset/", {"email": email}),
        "change of address": lambda email: browser and browser.post("/console/profile/address/", {"email": email}),
    }
    return ways[name]


def nobody() -> str:
    """An address without an account, another one each time and as long as carol's."""
    return f"n{next(_numbers):04}@example.com"


def outcome(answer: Any) -> tuple[int, str, str]:
    """What a visitor sees, but for the address that they typed and what is drawn anew for each page."""
    page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())
    page = re.sub(r"(n\d{4}|carol)@example\.com", "", page)
    return answer.status_code, answer.headers.get("Location", ""), page


FORMS = ["sign-up", "sign-in", "reset", "change of address"]


@pytest.mark.parametrize("name", FORMS)
def test_form_answers_the_same_in_words_and_status(carol: User, name: str) -> None:
    send = forms(name)
    assert outcome(send(carol.email)) == outcome(send(nobody()))


@pytest.mark.parametrize("name", FORMS)
def test_form_takes_as_long(carol: User, name: str) -> None:
    send = forms(name)
    send(carol.email), send(nobody())
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for has_account in (True, False):
            email = carol.email if has_account else nobody()
            began = perf_counter()
            send(email)
            times[has_account].append(perf_counter() - began)
    known, unknown = median(times[True]), median(times[False])
    assert 1 / MOST_APART < known / unknown < MOST_APART, (name, known, unknown)


def test_control_a_hash_more_would_be_seen(carol: User) -> None:
    """A wrong password for an account is hashed once; without the like for others, the time would tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "allauth.account.auth_backends.AuthenticationBackend._mitigate_timing_attack", lambda *arguments: None
        )
        with pytest.raises(AssertionError):
            test_form_takes_as_long(carol, "sign-in")
