"""Signing in and out: which pages there are, where they lead, whom they count, and what they do without a cache."""

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import caches
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import User
from tests.facts import JANUARY, register
from tests.newcomers import CONFIRM, PASSWORD, SIGN_UP, confirm, fill_in, sign_up

pytestmark = pytest.mark.django_db(transaction=True)

LOGIN = "/accounts/login/"


def customer(name: str) -> User:
    """A registered customer with a confirmed address and a password."""
    user = register(name)
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def sign_in(client: Client, user: User, password: str = PASSWORD, **headers: str) -> object:
    return client.post(LOGIN, {"login": user.email, "password": password}, headers=headers)


# Pages


@pytest.mark.parametrize("path", ["email/", "login/code/confirm/", "login/code/", "3rdparty/", "confirm-email/key/"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_pages_of_allauth_that_nobody_asked_for_are_none(client: Client, path: str, signed_in: bool) -> None:
    if signed_in:
        client.force_login(customer("alice"))
    assert client.get(f"/accounts/{path}").status_code == 404
    assert client.post(f"/accounts/{path}", {"email": "mallory@example.com", "action_add": ""}).status_code == 404
    assert not EmailAddress.objects.filter(email="mallory@example.com").exists()


@pytest.mark.parametrize("path", ["login/", "signup/", "password/reset/", "password/reset/done/"])
def test_visitor_has_the_pages_to_come_in_by(client: Client, path: str) -> None:
    assert client.get(f"/accounts/{path}").status_code == 200


@pytest.mark.parametrize("path", ["logout/", "password/change/", "reauthenticate/", "2fa/"])
def test_customer_has_the_pages_of_the_account(client: Client, path: str) -> None:
    sign_in(client, customer("alice"))
    page = client.get(f"/accounts/{path}")
    assert page.status_code == 200
    assert "/accounts/email/" not in page.content.decode()


def test_forgotten_password_is_chosen_anew(client: Client) -> None:
    alice = customer("alice")
    client.post("/accounts/password/reset/", {"email": alice.email})
    link = next(line for line in mail.outbox[-1].body.splitlines() if "/password/reset/key/" in line)
    page = client.get(link.strip().removeprefix("http://testserver"), follow=True)
    done = client.post(page.request["PATH_INFO"], {"password1": "another-horse", "password2": "another-horse"})
    assert done["Location"] == "/accounts/password/reset/key/done/"
    assert client.get(done["Location"]).status_code == 200
    alice.refresh_from_db()
    assert alice.check_password("another-horse")


# Where they lead


def test_customer_comes_into_the_console(client: Client) -> None:
    assert sign_in(client, customer("alice"))["Location"] == reverse("console:overview")  # type: ignore[index]
    assert client.get("/accounts/")["Location"] == reverse("console:overview")
    assert client.get(CONFIRM, follow=True).redirect_chain[-1][0] == reverse("console:overview")


def test_newcomer_comes_to_their_coupons(client: Client) -> None:
    fill_in(client, "bob@example.com")
    page = client.get(confirm(client)["Location"])
    assert page.request["PATH_INFO"] == reverse("console:coupons")
    assert "$300" in page.content.decode()


def test_staff_come_into_the_admin(client: Client) -> None:
    staff = User.objects.create_superuser("staff@example.com", PASSWORD, created_at=JANUARY)
    EmailAddress.objects.create(user=staff, email=staff.email, verified=True, primary=True)
    assert sign_in(client, staff)["Location"] == reverse("admin:index")  # type: ignore[index]


def test_visitor_is_asked_to_sign_in(client: Client) -> None:
    assert client.get("/accounts/")["Location"] == LOGIN


def test_sign_in_that_was_asked_for_leads_on_to_its_page(client: Client) -> None:
    alice = customer("alice")
    answer = client.post(f"{LOGIN}?next=/console/coupons/", {"login": alice.email, "password": PASSWORD})
    assert answer["Location"] == "/console/coupons/"


# Limits behind a proxy


def guesses_until_patience(client: Client, user: User, **headers: str) -> bool:
    """Whether twelve wrong passwords are too many."""
    pages = [sign_in(client, user, "wrong-guess", **headers) for _ in range(12)]
    return "Too many failed login attempts" in pages[-1].content.decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("proxies", "shared"), [(1, False), (0, True)])
def test_limits_count_the_visitor_whom_a_trusted_proxy_names(settings: Settings, proxies: int, shared: bool) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip"}
    alice = customer("alice")
    mallory = {"x-forwarded-for": "203.0.113.5"}
    assert guesses_until_patience(Client(), alice, **mallory)
    answer = sign_in(Client(), alice, **{"x-forwarded-for": "203.0.113.6"})
    assert answer.status_code == (429 if shared else 302)  # type: ignore[attr-defined]


def test_visitor_cannot_change_who_they_are_by_the_header(settings: Settings) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip"}
    alice = customer("alice")
    pages = [
        sign_in(Client(), alice, "wrong-guess", **{"x-forwarded-for": f"198.51.100.{n}, 203.0.113.5"})
        for n in range(12)
    ]
    assert "Too many failed login attempts" in pages[-1].content.decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("passed", ["{0}", " {0} , 10.0.0.1"])
def test_who_has_passed_fewer_proxies_than_are_trusted_counts_by_the_address_nearest_to_them(
    settings: Settings, passed: str
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 3
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip"}
    alice = customer("alice")
    assert guesses_until_patience(Client(), alice, **{"x-forwarded-for": passed.format("203.0.113.5")})
    answer = sign_in(Client(), alice, **{"x-forwarded-for": passed.format("203.0.113.6")})
    assert answer.status_code == 302  # type: ignore[attr-defined]


# Without a cache


@pytest.mark.parametrize("address", ["redis://127.0.0.1:1/0", "unix:///nowhere/valkey.sock?db=3"])
def test_site_works_without_its_cache(client: Client, settings: Settings, address: str) -> None:
    alice = customer("alice")
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": address}}
    assert caches["default"].get("anything") is None
    assert client.get("/").status_code == 200
    assert sign_up(client, "bob@example.com").registered_at is not None
    assert sign_in(Client(), alice, "wrong-guess").status_code == 200  # type: ignore[attr-defined]
    assert sign_in(Client(), alice).status_code == 302  # type: ignore[attr-defined]


def test_cache_that_is_up_keeps_what_it_is_given() -> None:
    cache = caches["default"]
    assert cache.add("seat", "alice")
    assert not cache.add("seat", "bob")
    assert cache.get("seat") == "alice"
    cache.set_many({"a": 1, "b": 2})
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert cache.incr("a") == 2
    cache.delete_many(["a", "b"])
    assert not cache.has_key("a")


def test_every_call_to_a_cache_that_is_down_is_answered(settings: Settings) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}}
    cache = caches["default"]
    assert cache.add("seat", "alice")
    assert cache.add("seat", "bob")
    assert cache.get("seat", "nobody") == "nobody"
    assert cache.get_many(["seat"]) == {}
    assert not cache.has_key("seat")
    assert not cache.touch("seat")
    assert not cache.delete("seat")
    cache.set("seat", "alice")
    cache.set_many({"seat": "alice"})
    cache.delete_many(["seat"])
    cache.clear()


# Codes from the mail


def follow(client: Client, code: str) -> str:
    """The page to which a code leads."""
    return str(client.post(CONFIRM, {"code": code}, follow=True).content.decode())


def test_third_wrong_code_leads_to_a_new_one(client: Client) -> None:
    fill_in(client, "bob@example.com")
    for _ in range(2):
        assert "Incorrect code" in follow(client, "ZZZZZZ")
    page = follow(client, "ZZZZZZ")
    assert "That was the third wrong code: sign in, and we send you a new one." in page
    assert "Too many failed login attempts" not in page
    bob = User.objects.get(email="bob@example.com")
    assert sign_in(client, bob)["Location"] == CONFIRM  # type: ignore[index]
    confirm(client)
    bob.refresh_from_db()
    assert bob.registered_at is not None


def test_code_that_has_run_out_says_so_and_leads_to_a_new_one(client: Client, settings: Settings) -> None:
    fill_in(client, "bob@example.com")
    settings.ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = -1
    assert "This code has run out: sign in, and we send you a new one." in follow(client, "ZZZZZZ")
    del settings.ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT
    bob = User.objects.get(email="bob@example.com")
    sign_in(client, bob)
    confirm(client)
    bob.refresh_from_db()
    assert bob.registered_at is not None


def test_page_for_the_code_is_the_same_whether_the_address_is_known(client: Client) -> None:
    customer("carol")
    pages = []
    for email in ("carol@example.com", "cathy@example.com"):
        visitor = Client()
        fill_in(visitor, email)
        page = visitor.get(CONFIRM).content.decode().replace(email, "")
        pages.append([line for line in page.splitlines() if "csrfmiddlewaretoken" not in line])
    assert pages[0] == pages[1]
    assert SIGN_UP in "".join(pages[0])
