"""Errors are told in the site's look, and every page has its icon and names its zone."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory
from django.views.defaults import server_error
from pytest_django import Settings

from accounts.models import User
from tests.facts import JANUARY
from tests.markup import faults
from tests.pages import words

pytestmark = pytest.mark.django_db(transaction=True)


def test_there_is_no_such_page(client: Client) -> None:
    answer = client.get("/nothing/")
    assert answer.status_code == 404
    assert "There is no such page" in own_words(answer.content)


@pytest.mark.parametrize("address", ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"])
def test_form_without_its_token_has_grown_old(address: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(address, {})
    assert answer.status_code == 403
    assert "That form has grown old" in own_words(answer.content)


def test_request_that_cannot_be_read_is_said_so(client: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    answer = client.post("/accounts/login/", {"login": "a", "password": "b"})
    assert answer.status_code == 400
    assert "That request could not be read" in own_words(answer.content)


def test_what_may_not_be_seen_is_said_so(client: Client) -> None:
    user = User.objects.create_user("alice@example.com", created_at=JANUARY, is_staff=True)
    client.force_login(user)
    answer = client.get("/admin/accounts/user/")
    assert answer.status_code == 403
    assert "You may not see this page" in own_words(answer.content)


def test_fault_of_ours_is_said_so() -> None:
    """By itself: what it is made of may be what has failed."""
    answer = server_error(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert "Something went wrong on our side" in own_words(answer.content)


@pytest.mark.parametrize("address", ["/nothing/", "/accounts/password/reset/"])
def test_error_is_told_in_the_language_that_the_browser_asks_for(settings: Settings, address: str) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"reset_password": "1/m/ip"}
    client = Client(headers={"accept-language": "de"})
    if address == "/nothing/":
        answer = client.get(address)
    else:
        client.post(address, {"email": "nobody@example.com"})
        answer = client.post(address, {"email": "nobody@example.com"})
    assert answer.status_code in (404, 429)
    assert '<html lang="de">' in answer.content.decode()


def test_too_often_is_said_so(client: Client, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"reset_password": "1/m/ip"}
    for _ in range(2):
        answer = client.post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert answer.status_code == 429
    page = own_words(answer.content)
    assert "That was too often" in page
    assert "Try again in a minute." in page
    assert 0 < int(answer["Retry-After"]) <= 60


def test_icon_is_found_where_browsers_look(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer["Location"]) == (302, "/static/favicon.svg")


def test_admin_names_its_zone_and_its_icon(client: Client) -> None:
    staff = User.objects.create_user(
        "staff@example.com", is_staff=True, is_superuser=True, created_at=JANUARY, time_zone="Europe/Lisbon"
    )
    client.force_login(staff)
    for address in ("/admin/", "/admin/referrals/referral/"):
        page = client.get(address).content.decode()
        assert "Times are in Europe/Lisbon." in words(page)
        assert '<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">' in page


def own_words(page: bytes) -> str:
    assert faults(page.decode()) == []
    assert b'class="brand"' in page
    return words(page.decode())
