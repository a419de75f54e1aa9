"""Stripe as a gateway, over HTTP: customers, SetupIntents, cards and webhooks are localstripe's own; Checkout, which it
does not know, answers in the shapes that Stripe documents (tests/stripe_peer.py)."""

from __future__ import annotations

import shutil
import urllib.error
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe as library
from django.db import transaction
from django.test import Client
from playwright.sync_api import sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from accounts.models import KnownIdentifier, User
from accounts.operations import pass_verification
from billing.gateways import Card, UnableToReachGateway, UnableToTakeCard
from billing.gateways.stripe_gateway import Stripe, _news_of, in_our_words
from billing.models import GatewayCustomer, PaymentMethod
from billing.operations import remove_card, save_card, start_card
from billing.operations.payment_methods import remember_name
from referrals.models import ReferralLink
from tests.browser.product import SWITCHES
from tests.facts import NOW, register
from tests.newcomers import identity
from tests.races.racing import until
from tests.stripe_events import event, post
from tests.stripe_peer import SECRET_KEY, WEBHOOK_SECRET, Peer, running_peer

pytestmark = pytest.mark.django_db(transaction=True)

VISA, DECLINED = "4242424242424242", "4000000000000002"
BACK, CANCELLED = "https://site.example.com/back/", "https://site.example.com/cancelled/"


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with running_peer() as peer:
        yield peer


@pytest.fixture(autouse=True)
def stripe(peer: Peer, settings: Settings) -> None:
    settings.PAYMENT_GATEWAY = "stripe"
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    settings.STRIPE_API_BASE = peer.front
    peer.begin_anew()


@pytest.fixture
def alice() -> User:
    return register("alice")


def start(user: User) -> str:
    """Begin to add a card; return the session of Checkout."""
    page = start_card(customer_id=user.pk, back=BACK, cancelled=CANCELLED, now=NOW)
    return page.rpartition("/")[2]


def add(peer: Peer, user: User, number: str = VISA, **expiry: int) -> PaymentMethod:
    session = start(user)
    peer.enter(session, number, **expiry)
    return save_card(customer_id=user.pk, entry=session, now=NOW)


# With localstripe, and Checkout in front of it


def test_card_entered_at_stripe_comes_on_file(peer: Peer, alice: User) -> None:
    method = add(peer, alice, month=7, year=2031)
    at_stripe = peer.ask("GET", f"/v1/payment_methods/{method.token}")
    assert at_stripe["customer"] == GatewayCustomer.objects.get(customer=alice).token
    assert (method.gateway, method.brand, method.last_four) == ("stripe", "visa", "4242")
    assert (method.expiry_month, method.expiry_year) == (7, 2031)
    assert method.fingerprint == at_stripe["card"]["fingerprint"]
    alice.refresh_from_db()
    assert (alice.payment_method_added_at, alice.payment_method_expires_at) == (NOW, method.expires_at)


def test_same_card_has_the_same_fingerprint_in_two_accounts(peer: Peer, alice: User) -> None:
    bob = register("bob")
    assert add(peer, alice).fingerprint == add(peer, bob).fingerprint
    digests = KnownIdentifier.objects.filter(kind="card").values_list("digest", flat=True)
    assert len(digests) == 2
    assert len(set(digests)) == 1


def test_customer_is_made_known_to_stripe_once_and_by_the_account_id_alone(peer: Peer, alice: User) -> None:
    start(alice)
    start(alice)
    name = GatewayCustomer.objects.get(customer=alice).token
    known = peer.ask("GET", f"/v1/customers/{name}")
    assert (known["metadata"], known["email"], known["name"]) == ({"account_id": "alice"}, None, None)


def test_card_that_was_not_entered_is_not_on_file(alice: User) -> None:
    session = start(alice)
    with pytest.raises(UnableToTakeCard) as refusal:
        save_card(customer_id=alice.pk, entry=session, now=NOW)
    assert refusal.value.code == "unfinished"
    assert not PaymentMethod.objects.exists()


def test_declined_card_is_not_on_file(peer: Peer, alice: User) -> None:
    session = start(alice)
    with pytest.raises(urllib.error.HTTPError):
        peer.enter(session, DECLINED)
    with pytest.raises(UnableToTakeCard) as refusal:
        save_card(customer_id=alice.pk, entry=session, now=NOW)
    assert refusal.value.code == "unfinished"


def test_session_of_somebody_else_brings_nothing(peer: Peer, alice: User) -> None:
    mallory = register("mallory")
    session = start(alice)
    peer.enter(session, VISA)
    with pytest.raises(UnableToTakeCard) as refusal:
        save_card(customer_id=mallory.pk, entry=session, now=NOW)
    assert refusal.value.code == "foreign"
    assert not PaymentMethod.objects.exists()


@pytest.mark.parametrize("entry", ["", "cs_test_unknown", "../customers/cus_1", "seti_1", "cs_" + "x" * 300])
def test_address_that_names_no_session_brings_nothing(alice: User, entry: str) -> None:
    with pytest.raises(UnableToTakeCard) as refusal:
        save_card(customer_id=alice.pk, entry=entry, now=NOW)
    assert refusal.value.code == "foreign"


def test_return_that_is_repeated_changes_nothing(peer: Peer, alice: User) -> None:
    session = start(alice)
    peer.enter(session, VISA)
    first = save_card(customer_id=alice.pk, entry=session, now=NOW)
    assert save_card(customer_id=alice.pk, entry=session, now=NOW) == first
    assert PaymentMethod.objects.count() == 1


def test_removed_card_is_detached_at_stripe_and_stays_removed(peer: Peer, alice: User) -> None:
    session = start(alice)
    peer.enter(session, VISA)
    method = save_card(customer_id=alice.pk, entry=session, now=NOW)
    remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW)
    assert peer.ask("GET", f"/v1/payment_methods/{method.token}")["customer"] is None
    with pytest.raises(UnableToTakeCard):
        save_card(customer_id=alice.pk, entry=session, now=NOW)
    method.refresh_from_db()
    assert method.removed_at == NOW


def test_card_that_stripe_let_go_already_can_be_removed(peer: Peer, alice: User) -> None:
    method = add(peer, alice)
    peer.ask("POST", f"/v1/payment_methods/{method.token}/detach")
    remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW)
    method.refresh_from_db()
    assert method.removed_at == NOW


@pytest.mark.parametrize("step", ["start", "save", "remove"])
def test_stripe_that_does_not_answer_changes_nothing(peer: Peer, alice: User, settings: Settings, step: str) -> None:
    method, session = add(peer, alice), start(alice)
    settings.STRIPE_API_BASE = "http://127.0.0.1:1"
    steps: dict[str, Callable[[], object]] = {
        "start": lambda: start(alice),
        "save": lambda: save_card(customer_id=alice.pk, entry=session, now=NOW),
        "remove": lambda: remove_card(customer_id=alice.pk, method_id=method.pk, now=NOW),
    }
    with pytest.raises(UnableToReachGateway):
        steps[step]()
    assert list(PaymentMethod.objects.on_file()) == [method]


def test_wrong_key_is_no_answer(alice: User, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = "pk_not_a_secret_key"
    with pytest.raises(UnableToReachGateway):
        start(alice)


def test_stripe_is_never_asked_inside_a_transaction(alice: User) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError):
        start(alice)
    with transaction.atomic(), pytest.raises(RuntimeError):
        Stripe().forget(token="pm_1")


def test_customer_adds_a_card_in_a_browser(
    peer: Peer, alice: User, settings: Settings, live_server: LiveServer
) -> None:
    """The one place where the policy lets a form lead away is used; nothing of Stripe's runs on our page."""
    settings.SITE_URL = live_server.url
    client = Client()
    client.force_login(alice)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        context = browser.new_context(java_script_enabled=False)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.goto(f"{live_server.url}/console/payment-methods/")
        page.get_by_role("button", name="Add a card").click()
        assert page.url.startswith(peer.front)
        page.get_by_label("Card number").fill(VISA)
        page.get_by_role("button", name="Save card").click()
        page.wait_for_url(f"{live_server.url}/console/payment-methods/")
        assert "Visa ending in 4242 is on file." in page.inner_text("main")
        browser.close()
    assert complaints == []


# Webhooks that localstripe sends and signs itself


def test_customer_whom_stripe_has_deleted_has_no_card_on_file(peer: Peer, alice: User, live_server: LiveServer) -> None:
    method = add(peer, alice)
    peer.send_webhooks_to(f"{live_server.url}/webhooks/stripe/", "customer.deleted")
    peer.ask("DELETE", f"/v1/customers/{GatewayCustomer.objects.get(customer=alice).token}")
    until(lambda: not PaymentMethod.objects.on_file().exists())
    until(lambda: GatewayCustomer.objects.filter(closed_at__isnull=False).exists())
    method.refresh_from_db()
    assert method.removed_at is not None
    alice.refresh_from_db()
    assert alice.payment_method_added_at is None
    assert add(peer, alice).is_default
    assert GatewayCustomer.objects.filter(customer=alice).count() == 2


# Webhooks of other events, signed as Stripe signs them; what they name stands at localstripe


def send(event_type: str, named: str, *, event_id: str = "evt_1") -> Any:
    return post(Client(), event(event_type, named, event_id=event_id))


def test_card_comes_on_file_though_the_customer_never_returns(peer: Peer, alice: User) -> None:
    session = start(alice)
    peer.enter(session, VISA)
    assert send("setup_intent.succeeded", peer.sessions[session]["setup_intent"]).status_code == 200
    assert PaymentMethod.objects.get(customer=alice).last_four == "4242"
    assert save_card(customer_id=alice.pk, entry=session, now=NOW) == PaymentMethod.objects.get()


def test_setup_that_has_not_succeeded_brings_nothing(peer: Peer, alice: User) -> None:
    session = start(alice)
    assert send("setup_intent.succeeded", peer.sessions[session]["setup_intent"]).status_code == 200
    assert not PaymentMethod.objects.exists()


def test_card_of_a_customer_who_is_not_ours_brings_nothing(peer: Peer) -> None:
    stranger = peer.ask("POST", "/v1/customers", description="of another site")["id"]
    intent = peer.ask("POST", "/v1/setup_intents", customer=stranger)["id"]
    peer.set_up(intent, stranger, VISA)
    assert send("setup_intent.succeeded", intent).status_code == 200
    assert not PaymentMethod.objects.exists()


def test_detached_card_goes_whatever_the_order_of_events(peer: Peer, alice: User) -> None:
    session = start(alice)
    peer.enter(session, VISA)
    intent = peer.sessions[session]["setup_intent"]
    token = peer.ask("GET", f"/v1/setup_intents/{intent}")["payment_method"]
    peer.ask("POST", f"/v1/payment_methods/{token}/detach")
    assert send("payment_method.detached", token, event_id="evt_2").status_code == 200
    assert send("setup_intent.succeeded", intent, event_id="evt_1").status_code == 200
    assert not PaymentMethod.objects.exists()


def test_card_that_was_detached_at_stripe_is_off_file(peer: Peer, alice: User) -> None:
    kept, gone = add(peer, alice), add(peer, alice)
    peer.ask("POST", f"/v1/payment_methods/{gone.token}/detach")
    assert send("payment_method.detached", gone.token).status_code == 200
    assert list(PaymentMethod.objects.on_file()) == [kept]


def test_detachment_that_is_not_so_changes_nothing(peer: Peer, alice: User) -> None:
    method = add(peer, alice)
    assert send("payment_method.detached", method.token).status_code == 200
    assert list(PaymentMethod.objects.on_file()) == [method]


@pytest.mark.parametrize("event_type", ["payment_method.updated", "payment_method.automatically_updated"])
def test_renewed_card_brings_its_new_expiry_and_the_link_back(peer: Peer, alice: User, event_type: str) -> None:
    method = add(peer, alice, month=11, year=2026)
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    PaymentMethod.objects.filter(pk=method.pk).update(expiry_month=1, expiry_year=2026, expires_at="2026-02-01T00:00Z")
    User.objects.filter(pk=alice.pk).update(payment_method_expires_at="2026-02-01T00:00Z")
    assert not ReferralLink.objects.working(at=NOW).exists()
    assert send(event_type, method.token).status_code == 200
    method.refresh_from_db()
    assert (method.expiry_month, method.expiry_year) == (11, 2026)
    assert ReferralLink.objects.working(at=NOW).get().owner == alice


def test_event_while_stripe_does_not_answer_is_asked_for_again(peer: Peer, alice: User, settings: Settings) -> None:
    method = add(peer, alice)
    peer.ask("POST", f"/v1/payment_methods/{method.token}/detach")
    settings.STRIPE_API_BASE = "http://127.0.0.1:1"
    assert send("payment_method.detached", method.token).status_code == 503
    settings.STRIPE_API_BASE = peer.front
    assert send("payment_method.detached", method.token).status_code == 200
    assert not PaymentMethod.objects.on_file().exists()


def test_two_names_at_stripe_for_one_customer_are_one(alice: User) -> None:
    assert remember_name(customer_id=alice.pk, gateway="stripe", token="cus_a", now=NOW) == "cus_a"
    assert remember_name(customer_id=alice.pk, gateway="stripe", token="cus_b", now=NOW) == "cus_a"


# In the shapes that Stripe documents, since localstripe makes visas only and declines in its own words


def test_card_of_another_brand_and_what_stripe_declines_are_told_in_our_words() -> None:
    told = library.PaymentMethod.construct_from(
        {
            "id": "pm_1",
            "object": "payment_method",
            "customer": "cus_1",
            "type": "card",
            "card": {
                "brand": "amex",
                "last4": "0005",
                "exp_month": 1,
                "exp_year": 2030,
                "fingerprint": "Xt5EWLLDS7FJjR1c",
            },
        },
        "sk_test_1",
    )
    assert _news_of(told).card == Card("pm_1", "amex", "0005", 1, 2030, "Xt5EWLLDS7FJjR1c")

    def decline(code: str) -> None:
        raise library.CardError("no", None, code)  # type: ignore[no-untyped-call]

    for code, ours in (("card_declined", "declined"), ("expired_card", "expired")):
        with pytest.raises(UnableToTakeCard) as refusal:
            in_our_words(decline)(code)
        assert refusal.value.code == ours


def test_address_of_checkout_carries_the_session_back(peer: Peer, alice: User) -> None:
    session = start(alice)
    back = urlsplit(peer.enter(session, VISA))
    assert parse_qs(back.query) == {"entry": [session]}
    assert peer.sessions[session]["cancel_url"] == CANCELLED
