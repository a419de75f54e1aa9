"""Keys of the API at the staff's desk: made there, shown once, revoked at once."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import ApiKey, User
from tests.facts import JANUARY, NOW, register
from tests.test_admin import act, page, words

pytestmark = pytest.mark.django_db

ADD = "/admin/accounts/apikey/add/"
FORM = {"name": "ERP", "scopes": ["spend:write", "credit:read"], "networks": "", "expires_at": ""}


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("boss@example.com", account_id="boss", created_at=JANUARY)


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def secret_in(answer: Any) -> str:
    (secret,) = re.findall(r"raf_[\w-]+", html.unescape(answer.content.decode()))
    return str(secret)


def credit_by(secret: str, **more: Any) -> int:
    register("bob") if not User.objects.filter(account_id="bob").exists() else None
    headers = {"Authorization": f"Bearer {secret}"}
    return int(Client().get("/api/v1/accounts/bob/credit", headers=headers, **more).status_code)


def test_key_is_made_and_shown_on_the_answer_alone(desk: Client, staff: User) -> None:
    assert "Add API key" in words(desk.get("/admin/accounts/apikey/"))
    answer = desk.post(ADD, FORM)
    secret = secret_in(answer)
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, key.created_by, key.tail) == (
        "ERP",
        ["credit:read", "spend:write"],
        staff,
        secret[-4:],
    )
    assert credit_by(secret) == 200
    assert "no-store" in answer["Cache-Control"]
    for later in (ADD, page(ApiKey, "changelist"), page(ApiKey, "change", key.pk)):
        assert secret not in words(desk.get(later))
    assert secret not in str(ApiKey.objects.values())


def test_networks_and_expiry_narrow_it(desk: Client, time_machine: Any) -> None:
    form = FORM | {"networks": "203.0.113.0/24\r\n2001:db8::/32\r\n", "expires_at": "2026-11-02T00:00"}
    secret = secret_in(desk.post(ADD, form))
    key = ApiKey.objects.get()
    assert (key.networks, key.expires_at) == (["203.0.113.0/24", "2001:db8::/32"], NOW + timedelta(days=1))
    assert credit_by(secret, REMOTE_ADDR="203.0.113.9") == 200
    assert credit_by(secret, REMOTE_ADDR="198.51.100.1") == 401
    time_machine.move_to(NOW + timedelta(days=1), tick=False)
    assert credit_by(secret, REMOTE_ADDR="203.0.113.9") == 401


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": " "},
        {"name": "x" * 101},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"networks": "here"},
        {"networks": "203.0.113.1/24"},
        {"expires_at": "2026-11-01T00:00"},
        {"expires_at": "soon"},
    ],
)
def test_form_that_makes_no_sense_makes_no_key(desk: Client, change: dict[str, Any]) -> None:
    answer = desk.post(ADD, FORM | change)
    assert answer.status_code == 200
    assert "errorlist" in words(answer)
    assert not ApiKey.objects.exists()


def test_key_is_revoked_at_once(desk: Client) -> None:
    secret = secret_in(desk.post(ADD, FORM))
    assert "Done for ERP" in words(act(desk, ApiKey.objects.get(), "revoke", sure="yes"))
    assert credit_by(secret) == 401


def test_what_a_key_may_is_not_changed(desk: Client) -> None:
    desk.post(ADD, FORM)
    assert desk.post(page(ApiKey, "change", ApiKey.objects.get().pk), FORM).status_code == 403


def test_staff_who_may_not_make_keys_make_none(client: Client) -> None:
    viewer = User.objects.create_user("viewer@example.com", is_staff=True, created_at=JANUARY)
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(viewer)
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, FORM).status_code == 403
    assert "Add API key" not in words(client.get("/admin/accounts/apikey/"))
    assert not ApiKey.objects.exists()


def test_customer_does_not_come_to_the_form(client: Client) -> None:
    client.force_login(register("alice"))
    assert client.post(ADD, FORM).status_code == 302
    assert not ApiKey.objects.exists()
