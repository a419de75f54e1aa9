"""The staff's desk for webhooks: endpoints, their secrets shown once, a test, the log, and what is sent again."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import models
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import User, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookSecret
from accounts.operations import deliver_webhooks
from tests.facts import JANUARY, NOW
from tests.receiving import ALL, Receiver, hook, receiving

pytestmark = pytest.mark.django_db

SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss@example.com", account_id="boss", created_at=JANUARY))
    return client


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    with receiving() as receiver:
        yield receiver


def page(model: type[models.Model], name: str, *arguments: object) -> str:
    return reverse(f"admin:accounts_{model._meta.model_name}_{name}", args=arguments)


def add(desk: Client, url: str = "https://hooks.example.com/in", events: list[str] = ALL) -> str:
    """Fill in the form; return what the page then says."""
    answer = desk.post(page(WebhookEndpoint, "add"), {"url": url, "events": events}, follow=True)
    return html.unescape(answer.content.decode())


def act(desk: Client, row: models.Model, action: str, **answer: Any) -> str:
    form = {"action": action, "_selected_action": [row.pk], "carry_out": "yes", **answer}
    return html.unescape(desk.post(page(type(row), "changelist"), form, follow=True).content.decode())


def test_endpoint_is_added_and_its_secret_shown_once(desk: Client) -> None:
    (secret,) = SECRET.findall(add(desk, events=["reward.granted", "flag.opened"]))
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.url, endpoint.events) == ("https://hooks.example.com/in", ["flag.opened", "reward.granted"])
    assert endpoint.created_by is not None
    for address in (
        page(WebhookEndpoint, "changelist"),
        page(WebhookEndpoint, "change", endpoint.pk),
        page(WebhookSecret, "changelist"),
        page(WebhookSecret, "change", WebhookSecret.objects.get().pk),
        reverse("admin:index"),
    ):
        shown = desk.get(address).content.decode()
        assert "whsec_" not in shown
        assert WebhookSecret.objects.get().salt not in shown
    assert secret[-5:-1] == WebhookSecret.objects.get().tail


def test_secret_stands_in_no_cookie_and_no_cache(desk: Client) -> None:
    answer = desk.post(page(WebhookEndpoint, "add"), {"url": "https://hooks.example.com/", "events": ALL})
    assert "no-store" in answer["Cache-Control"]
    assert "whsec_" in answer.content.decode()
    assert "whsec_" not in str(answer.cookies) + str(dict(desk.session))


@pytest.mark.parametrize(
    ("url", "events", "said"),
    [
        ("http://hooks.example.com/", ALL, "Webhooks go to https addresses only."),
        ("https://127.0.0.1/", ALL, "Webhooks go to public addresses only."),
        ("https://user:word@example.com/", ALL, "An endpoint is an address like"),
        ("", ALL, "This field is required."),
        ("https://hooks.example.com/", [], "This field is required."),
        ("https://hooks.example.com/", ["everything"], "Select a valid choice."),
    ],
)
def test_endpoint_that_cannot_be_is_refused_in_words(desk: Client, url: str, events: list[str], said: str) -> None:
    assert said in add(desk, url, events)
    assert not WebhookEndpoint.objects.exists()


def test_address_that_is_known_is_refused_in_words(desk: Client) -> None:
    add(desk)
    assert "Webhook endpoint with this URL already exists." in add(desk)
    assert WebhookEndpoint.objects.count() == 1


def test_secret_is_rotated(desk: Client) -> None:
    (old,) = SECRET.findall(add(desk))
    endpoint = WebhookEndpoint.objects.get()
    asked = desk.post(page(WebhookEndpoint, "changelist"), {"action": "rotate", "_selected_action": [endpoint.pk]})
    assert b'name="hours"' in asked.content
    (new,) = SECRET.findall(act(desk, endpoint, "rotate", hours=24))
    assert new != old
    assert WebhookSecret.objects.count() == 2
    assert SECRET.findall(act(desk, endpoint, "rotate", hours=169)) == []
    assert WebhookSecret.objects.count() == 2


def test_one_secret_is_rotated_at_a_time(desk: Client) -> None:
    for n in range(2):
        add(desk, f"https://hooks.example.com/{n}")
    form = {"action": "rotate", "_selected_action": list(WebhookEndpoint.objects.values_list("pk", flat=True))}
    answer = desk.post(page(WebhookEndpoint, "changelist"), {**form, "carry_out": "yes", "hours": 1}, follow=True)
    assert "choose one" in answer.content.decode()
    assert WebhookSecret.objects.count() == 2


def test_endpoint_is_switched_off_and_on(desk: Client) -> None:
    add(desk)
    endpoint = WebhookEndpoint.objects.get()
    for action, is_off in (("switch_off", True), ("switch_on", False)):
        assert "Done for" in act(desk, endpoint, action)
        endpoint.refresh_from_db()
        assert (endpoint.switched_off_at is not None) == is_off
        assert "that is so already" in act(desk, endpoint, action)


def test_test_event_arrives(desk: Client, receiver: Receiver) -> None:
    (secret,) = SECRET.findall(add(desk, receiver.url))
    endpoint = WebhookEndpoint.objects.get()
    assert "Done for" in act(desk, endpoint, "send_test_event")
    deliver_webhooks(now=NOW)
    (letter,) = receiver.letters
    assert (letter.type, letter.is_signed_by(secret)) == ("webhook.test", True)
    act(desk, endpoint, "switch_off")
    assert "The endpoint is off." in act(desk, endpoint, "send_test_event")


def test_log_says_what_became_of_each_try_and_sends_again(desk: Client, receiver: Receiver) -> None:
    hook(receiver)
    WebhookEvent.objects.create(key="k", type="flag.opened", stream="referral:7", payload={"a": 1}, created_at=NOW)
    receiver.answer = lambda letter: 503
    deliver_webhooks(now=NOW)
    delivery = WebhookDelivery.objects.get()
    for address in (page(WebhookDelivery, "changelist"), page(WebhookDelivery, "change", delivery.pk)):
        assert "503" in desk.get(address).content.decode()
    assert "It is on its way still." in act(desk, delivery, "resend")
    receiver.answer = lambda letter: 200
    deliver_webhooks(now=WebhookDelivery.objects.get().due_at)
    assert "Done for" in act(desk, delivery, "resend")
    deliver_webhooks(now=WebhookDelivery.objects.get().due_at)
    assert len(receiver.letters) == 3
    assert list(WebhookAttempt.objects.order_by("pk").values_list("status", flat=True)) == [503, 200, 200]
    found = desk.get(page(WebhookDelivery, "changelist"), {"q": "referral:7"})
    assert found.context["cl"].result_count == 1


def test_staff_without_the_permission_look_and_change_nothing(client: Client, desk: Client) -> None:
    add(desk)
    clerk = User.objects.create_user("clerk@example.com", is_staff=True, created_at=JANUARY)
    clerk.user_permissions.add(Permission.objects.get(codename="view_webhookendpoint"))
    client.force_login(clerk)
    endpoint = WebhookEndpoint.objects.get()
    assert client.get(page(WebhookEndpoint, "add")).status_code == 403
    for action in ("rotate", "switch_off", "send_test_event"):
        act(client, endpoint, action, hours=1)
    endpoint.refresh_from_db()
    assert (endpoint.switched_off_at, WebhookSecret.objects.count(), WebhookEvent.objects.count()) == (None, 1, 0)
