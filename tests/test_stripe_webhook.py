"""The door for Stripe's webhooks: who is believed, and what a repeated event does. The events are in the shapes that
Stripe documents and signed by hand, as its scheme says; what they bring about is in tests/test_stripe.py, at a running
localstripe."""

from __future__ import annotations

import json
import logging

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from billing.gateways import Card, News
from billing.models import GatewayEvent, PaymentMethod
from billing.operations import add_card
from billing.operations.payment_methods import record_news
from tests.facts import NOW, register
from tests.stripe_events import ADDRESS, event, post, signature
from tests.stripe_peer import SECRET_KEY, WEBHOOK_SECRET

pytestmark = pytest.mark.django_db(transaction=True)

IGNORED = event("invoice.paid", "in_1")


@pytest.fixture(autouse=True)
def stripe(settings: Settings) -> None:
    settings.PAYMENT_GATEWAY = "stripe"
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    settings.STRIPE_API_BASE = "http://127.0.0.1:1"


@pytest.fixture
def alice() -> User:
    return register("alice")


def card(token: str = "pm_1", **told: object) -> Card:
    fields = {"brand": "visa", "last_four": "4242", "expiry_month": 12, "expiry_year": 2030, "fingerprint": "f"}
    return Card(token=token, **{**fields, **told})  # type: ignore[arg-type]


def test_event_that_stripe_signed_is_taken_and_kept_once(client: Client) -> None:
    assert post(client, IGNORED).status_code == 200
    assert post(client, IGNORED).status_code == 200
    assert GatewayEvent.objects.get().type == "invoice.paid"


def test_site_asks_for_no_token_of_its_own_forms() -> None:
    assert post(Client(enforce_csrf_checks=True), IGNORED).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1,v1=",
        "nonsense",
        f"v1={'0' * 64}",
        signature(IGNORED, secret="whsec_of_somebody_else"),
        signature(IGNORED.replace(b"in_1", b"in_2")),
        signature(IGNORED).replace("v1=", "v0="),
    ],
    ids=["none", "empty", "nonsense", "no-time", "another-secret", "another-event", "another-scheme"],
)
def test_event_that_stripe_did_not_sign_is_refused(client: Client, header: str) -> None:
    assert post(client, IGNORED, header).status_code == 400
    assert not GatewayEvent.objects.exists()


@pytest.mark.parametrize(("age", "status"), [(290, 200), (310, 400)])
def test_signature_is_believed_for_five_minutes(client: Client, age: float, status: int) -> None:
    assert post(client, IGNORED, signature(IGNORED, age=age)).status_code == status


def test_one_right_signature_among_several_is_enough(client: Client) -> None:
    """While a secret is rolled, Stripe signs with both."""
    right = signature(IGNORED)
    assert post(client, IGNORED, f"{right},v1={'0' * 64}").status_code == 200


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"{}", b'{"id": "evt_1", "type": "a", "data": null}'])
def test_signed_nonsense_is_refused(client: Client, payload: bytes) -> None:
    assert post(client, payload, signature(payload)).status_code == 400


def test_event_that_is_too_large_is_not_read(client: Client) -> None:
    payload = json.dumps({"id": "evt_1", "type": "a", "data": {"object": {"id": "x" * 1_000_001}}}).encode()
    assert post(client, payload, signature(payload)).status_code == 413


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_only_a_post_is_an_event(client: Client, method: str) -> None:
    assert getattr(client, method)(ADDRESS).status_code == 405


def test_without_a_secret_there_is_no_such_door(client: Client, settings: Settings) -> None:
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert post(client, IGNORED).status_code == 404


def test_known_event_is_not_looked_up_again(client: Client) -> None:
    """Stripe does not answer here: the first time that matters, the second time not."""
    detached = event("payment_method.detached", "pm_1", event_id="evt_7")
    assert post(client, detached).status_code == 503
    GatewayEvent.objects.create(gateway="stripe", event_id="evt_7", type="payment_method.detached", received_at=NOW)
    assert post(client, detached).status_code == 200


def test_event_takes_effect_once(alice: User) -> None:
    add_card(customer_id=alice.pk, gateway="stripe", card=card(), now=NOW)
    told = {"gateway": "stripe", "event_id": "evt_1", "event_type": "payment_method.updated", "now": NOW}
    assert record_news(news=News(customer="cus_1", card=card(expiry_year=2031)), **told)  # type: ignore[arg-type]
    assert not record_news(news=News(customer="cus_1", card=card(expiry_year=2029)), **told)  # type: ignore[arg-type]
    assert PaymentMethod.objects.get().expiry_year == 2031


def test_removed_card_is_not_brought_back(alice: User) -> None:
    method = add_card(customer_id=alice.pk, gateway="stripe", card=card(), now=NOW)
    told = {"gateway": "stripe", "event_type": "any", "now": NOW}
    record_news(event_id="evt_1", news=News(gone_token="pm_1"), **told)  # type: ignore[arg-type]
    news = News(customer="cus_1", card=card(expiry_year=2031), is_new=True)
    record_news(event_id="evt_2", news=news, **told)  # type: ignore[arg-type]
    method.refresh_from_db()
    assert (method.removed_at, method.expiry_year) == (NOW, 2030)


def test_event_is_not_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        post(client, event("invoice.paid", "in_canary"))
    assert "in_canary" not in caplog.text
