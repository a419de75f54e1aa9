"""How often sign-up, sign-in, codes, reset and the password work in a row: by the visitor's address and by the
account's. Each limit from both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.cache import caches
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from tests.facts import NOW, register
from tests.markup import faults
from tests.newcomers import CONFIRM, PASSWORD, SIGN_UP, fill_in
from tests.pages import words

pytestmark = pytest.mark.django_db(transaction=True)

LOGIN = "/accounts/login/"
RESET = "/accounts/password/reset/"
ASK_AGAIN = "/accounts/reauthenticate/"
ADDRESS = "/console/profile/address/"


@pytest.fixture
def alice() -> User:
    user = register("alice")
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def visitor(number: int) -> Client:
    """A browser behind an address of its own, which the proxy names."""
    return Client(headers={"x-forwarded-for": f"203.0.113.{number}"})


@pytest.fixture(autouse=True)
def one_proxy(settings: Settings) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1


def sign_in(client: Client, email: str, password: str = "wrong-guess") -> Any:
    return client.post(LOGIN, {"login": email, "password": password})


def begin(email: str) -> Client:
    """A browser in which somebody has begun to sign up."""
    client = visitor(99)
    fill_in(client, email)
    return client


Try = Callable[[int], Any]


def tries(kind: str) -> Try:
    """What is tried again and again, the nth time, within one minute."""
    home, codes = visitor(1), [begin("bob@example.com") for _ in range(4)]
    again = Client()
    again.force_login(User.objects.get(account_id="alice"))
    ways: dict[str, Try] = {
        "sign-up by one visitor": lambda n: fill_in(home, f"n{n}@example.com"),
        "sign-in by one visitor": lambda n: sign_in(home, f"n{n}@example.com", ""),
        "wrong passwords of one visitor": lambda n: sign_in(home, f"n{n}@example.com"),
        "wrong passwords of one account": lambda n: sign_in(visitor(n), "alice@example.com"),
        "wrong passwords of no account": lambda n: sign_in(visitor(n), "nobody@example.com"),
        "reset by one visitor": lambda n: home.post(RESET, {"email": f"n{n}@example.com"}),
        "reset of one account": lambda n: visitor(n).post(RESET, {"email": "alice@example.com"}),
        "reset of no account": lambda n: visitor(n).post(RESET, {"email": "nobody@example.com"}),
        "codes for one address": lambda n: codes[n // 3].post(CONFIRM, {"code": "ZZZZZZ"}),
        "the password once more": lambda n: again.post(ASK_AGAIN, {"password": "wrong-guess"}),
    }
    return ways[kind]


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("sign-up by one visitor", 20),
        ("sign-in by one visitor", 30),
        ("wrong passwords of one visitor", 10),
        ("wrong passwords of one account", 5),
        ("wrong passwords of no account", 5),
        ("reset by one visitor", 20),
        ("reset of one account", 5),
        ("reset of no account", 5),
        ("codes for one address", 10),
        ("the password once more", 5),
    ],
)
def test_so_many_in_a_row_and_not_one_more(alice: User, kind: str, most: int) -> None:
    with time_machine.travel(NOW, tick=False):
        one_more = tries(kind)
        assert 429 not in {one_more(n).status_code for n in range(most)}
        refused = one_more(most)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) in (60, 300, 600)
    page = refused.content.decode()
    assert faults(page) == []
    assert "Try again in" in words(page)


def test_a_mail_with_a_code_goes_to_one_address_five_times_a_minute(alice: User) -> None:
    with time_machine.travel(NOW, tick=False):
        assert [fill_in(visitor(n), "bob@example.com").status_code for n in range(5)] == [302] * 5
        assert fill_in(visitor(5), "bob@example.com").status_code == 429


def test_new_address_is_counted_like_a_sign_up(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    client.post(ASK_AGAIN, {"password": PASSWORD})
    answers = [client.post(ADDRESS, {"email": "new@example.com"}).status_code for _ in range(6)]
    assert answers == [302] * 5 + [429]


@pytest.mark.parametrize(("seconds", "status"), [(59, 429), (61, 302)])
def test_waiting_as_long_as_the_page_says_is_enough(seconds: int, status: int) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(5):
            visitor(1).post(RESET, {"email": "bob@example.com"})
        refused = visitor(1).post(RESET, {"email": "bob@example.com"})
        assert refused.headers["Retry-After"] == "60"
        clock.shift(seconds)
        assert visitor(1).post(RESET, {"email": "bob@example.com"}).status_code == status


def test_page_says_how_many_minutes_it_takes(alice: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        one_more = tries("wrong passwords of one account")
        for n in range(5):
            one_more(n)
        assert "Try again in 5 minutes." in words(one_more(6).content.decode())
        clock.shift(200)
        assert "Try again in 2 minutes." in words(one_more(7).content.decode())


def test_right_password_counts_for_nothing(alice: User) -> None:
    with time_machine.travel(NOW, tick=False):
        assert {sign_in(visitor(n), alice.email, PASSWORD).status_code for n in range(8)} == {302}


def test_other_visitors_and_accounts_are_not_held_up(alice: User) -> None:
    with time_machine.travel(NOW, tick=False):
        for n in range(12):
            sign_in(visitor(1), f"n{n}@example.com")
        assert sign_in(visitor(1), alice.email, PASSWORD).status_code == 429
        assert sign_in(visitor(2), alice.email, PASSWORD).status_code == 302


def test_without_a_cache_nothing_is_limited(alice: User, settings: Settings) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}}
    assert caches["default"].get("anything") is None
    assert 429 not in {sign_in(visitor(1), alice.email).status_code for _ in range(12)}
    assert sign_in(visitor(1), alice.email, PASSWORD).status_code == 302
    assert visitor(1).get(SIGN_UP).status_code == 200
