"""Staff: how they come to be, and that no page of the admin lets them past the operations."""

import html
import os
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.facts import JANUARY, register
from tests.newcomers import confirm

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PASSWORD = "a meadow of blue herons"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def hire(**options: Any) -> str:
    out = StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("createsuperuser", stdout=out, **options)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_staff_are_hired_by_a_script_and_sign_in(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    hire(email="Boss@Example.com", interactive=False)
    boss = User.objects.get(email="boss@example.com")
    assert (boss.is_staff, boss.is_superuser, boss.created_at, boss.registered_at) == (True, True, NOW, None)
    client.post("/accounts/login/", {"login": "boss@example.com", "password": PASSWORD})
    assert confirm(client)["Location"] == reverse("admin:index")
    assert client.get(reverse("admin:index")).status_code == 200
    boss.refresh_from_db()
    assert boss.registered_at is None


def test_staff_are_hired_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "boss@example.com"

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(createsuperuser.getpass, "getpass", lambda *prompt: PASSWORD)
    assert "created" in hire(stdin=Terminal())
    assert asked == ["Email: "]
    boss = User.objects.get()
    assert (boss.is_superuser, boss.created_at) == (True, NOW)
    assert boss.check_password(PASSWORD)


def test_address_of_an_account_is_not_for_hire(monkeypatch: pytest.MonkeyPatch) -> None:
    register("alice")
    with pytest.raises(CommandError, match="already taken"):
        hire(email="Alice@example.com", interactive=False)
    assert not User.objects.get().is_staff


# What allauth and auth would let staff write


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss@example.com", created_at=JANUARY))
    return client


def test_address_cannot_be_confirmed_from_the_admin(desk: Client) -> None:
    newcomer = User.objects.create_user("bob@example.com", created_at=JANUARY)
    address = EmailAddress.objects.create(user=newcomer, email=newcomer.email, primary=True)
    pages = "admin:account_emailaddress"
    row = reverse(f"{pages}_change", args=[address.pk])
    fields = {"user": newcomer.pk, "email": "mallory@example.com", "verified": "on", "primary": "on"}
    assert desk.get(reverse(f"{pages}_changelist"), {"q": "bob"}).context["cl"].result_count == 1
    assert desk.get(row).status_code == 200
    assert desk.post(row, fields).status_code == 403
    assert desk.post(reverse(f"{pages}_add"), fields).status_code == 403
    assert desk.post(reverse(f"{pages}_delete", args=[address.pk]), {"post": "yes"}).status_code == 403
    action = {"action": "make_verified", "_selected_action": [address.pk]}
    desk.post(reverse(f"{pages}_changelist"), action, follow=True)
    address.refresh_from_db()
    assert (address.verified, address.email) == (False, "bob@example.com")
    newcomer.refresh_from_db()
    assert newcomer.registered_at is None


def test_admin_has_no_groups() -> None:
    assert not admin.site.is_registered(Group)


def test_admin_registers_nothing_that_a_form_writes_but_these() -> None:
    request = Client().get("/").wsgi_request
    request.user = User(is_superuser=True, is_staff=True)
    writable = [model.__name__ for model, desk in admin.site._registry.items() if desk.has_add_permission(request)]
    # Keys and endpoints have forms of their own, since what they make is shown once.
    assert sorted(writable) == ["ApiKey", "BenefitCard", "ProgrammeTerms", "WebhookEndpoint"]


def test_second_factor_is_taken_away_and_its_secret_not_shown(desk: Client) -> None:
    alice = register("alice")
    factor = Authenticator.objects.create(user=alice, type="totp", data={"secret": "S3CR3T"})
    Authenticator.objects.create(user=alice, type="recovery_codes", data={"seed": "S3CR3T"})
    lists = reverse("admin:mfa_authenticator_changelist")
    row = reverse("admin:mfa_authenticator_change", args=[factor.pk])
    assert "S3CR3T" not in desk.get(row).content.decode()
    assert desk.post(row, {"data": "{}"}).status_code == 403
    form = {"action": "take_away", "_selected_action": [factor.pk]}
    asked = desk.post(lists, form)
    assert "Take away every second factor" in html.unescape(asked.content.decode())
    assert Authenticator.objects.count() == 2
    desk.post(lists, form | {"carry_out": "yes"})
    assert not Authenticator.objects.exists()
