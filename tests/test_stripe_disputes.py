"""Disputes as Stripe tells of them, by its webhook and when it is asked.

Customers, cards, PaymentIntents and refunds are localstripe's own, over HTTP. localstripe knows no disputes: those are
recorded shapes, as Stripe documents the object `dispute` and the events `charge.dispute.*` (tests/stripe_peer.py), and
the events are signed by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count, permutations

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from billing.models import Charge, Dispute, GatewayCustomer, GatewayEvent, Order
from billing.operations import orders, save_card, start_card
from tests.facts import NOW, register
from tests.ordering import buy
from tests.refunding import refund, spend
from tests.stripe_events import event, post, signature
from tests.stripe_peer import SECRET_KEY, WEBHOOK_SECRET, Peer, running_peer

pytestmark = pytest.mark.django_db(transaction=True)

Told = Callable[..., int]
BACK = "https://site.example.com/back/"


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with running_peer() as peer:
        yield peer


@pytest.fixture(autouse=True)
def stripe(peer: Peer, settings: Settings) -> None:
    peer.begin_anew()
    settings.PAYMENT_GATEWAY = "stripe"
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    settings.STRIPE_API_BASE = peer.front


@pytest.fixture
def alice(peer: Peer) -> User:
    """A customer with a card at localstripe."""
    user = register("alice")
    session = start_card(customer_id=user.pk, back=BACK, cancelled=BACK, now=NOW).rpartition("/")[2]
    peer.enter(session, "4242424242424242")
    save_card(customer_id=user.pk, entry=session, now=NOW)
    return user


@pytest.fixture
def order(alice: User) -> Order:
    """$11.99, in cash alone, charged by localstripe."""
    placed = buy(alice, domain=1)
    assert placed.state == Order.State.PAID
    return placed


@pytest.fixture
def tell(client: Client) -> Told:
    """Let Stripe tell of a dispute; return how the site answers."""
    numbers = count(1)

    def tell(dispute: str, kind: str = "created", *, event_id: str = "") -> int:
        payload = event(f"charge.dispute.{kind}", dispute, event_id=event_id or f"evt_{next(numbers)}")
        return int(post(client, payload).status_code)

    return tell


def kinds(order: Order) -> list[str]:
    return [kind for kind, _, _ in spend(order)]


def test_dispute_charges_the_order_back(peer: Peer, order: Order, tell: Told) -> None:
    assert tell(peer.dispute(order.charge.gateway_id, 1199)) == 200
    assert spend(order)[1:] == [("chargeback", "1", Decimal("11.99"))]
    assert Dispute.objects.get().state == "open"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("needs_response", ["payment", "chargeback"]),
        ("under_review", ["payment", "chargeback"]),
        ("lost", ["payment", "chargeback"]),
        ("won", ["payment"]),
        ("warning_needs_response", ["payment"]),
        ("warning_under_review", ["payment"]),
        ("warning_closed", ["payment"]),
        ("prevented", ["payment"]),
    ],
)
def test_what_stripe_says_decides(peer: Peer, order: Order, tell: Told, status: str, told: list[str]) -> None:
    """Whatever the event: it only names the dispute."""
    assert tell(peer.dispute(order.charge.gateway_id, 1199, status), "updated") == 200
    assert kinds(order) == told


def test_dispute_in_another_currency_is_left_to_staff(
    peer: Peer, order: Order, tell: Told, caplog: pytest.LogCaptureFixture
) -> None:
    dispute = peer.dispute(order.charge.gateway_id, 1100, currency="eur")
    assert (tell(dispute), kinds(order)) == (200, ["payment"])
    assert f"{dispute} is in eur: staff must" in caplog.text


def test_inquiry_that_becomes_a_dispute_is_charged_back(peer: Peer, order: Order, tell: Told) -> None:
    dispute = peer.dispute(order.charge.gateway_id, 1199, "warning_needs_response")
    tell(dispute)
    assert not Dispute.objects.exists()
    peer.disputes[dispute]["status"] = "needs_response"
    tell(dispute, "updated")
    assert kinds(order) == ["payment", "chargeback"]


def test_dispute_won_is_reversed(peer: Peer, order: Order, tell: Told) -> None:
    dispute = peer.dispute(order.charge.gateway_id, 1199)
    tell(dispute)
    peer.disputes[dispute]["status"] = "won"
    tell(dispute, "closed")
    tell(dispute, "funds_reinstated")
    assert kinds(order) == ["payment", "chargeback", "chargeback_reversal"]


@pytest.mark.parametrize("order_of_events", list(permutations(["created", "updated", "closed"])), ids="-".join)
def test_events_may_come_in_any_order(peer: Peer, order: Order, tell: Told, order_of_events: tuple[str, ...]) -> None:
    """All of them late, after the dispute was lost."""
    dispute = peer.dispute(order.charge.gateway_id, 1199, "lost")
    assert [tell(dispute, kind) for kind in order_of_events] == [200] * 3
    assert kinds(order) == ["payment", "chargeback"]
    assert Dispute.objects.get().state == "lost"


def test_same_event_again_is_not_looked_at(peer: Peer, order: Order, tell: Told) -> None:
    dispute = peer.dispute(order.charge.gateway_id, 1199)
    assert tell(dispute, event_id="evt_once") == 200
    peer.disputes[dispute]["status"] = "won"
    assert tell(dispute, event_id="evt_once") == 200
    assert kinds(order) == ["payment", "chargeback"]


@pytest.mark.parametrize(("age", "status"), [(290, 200), (310, 400)], ids=["lately", "too-late"])
def test_event_that_is_replayed_is_not_believed(
    peer: Peer, order: Order, client: Client, age: int, status: int
) -> None:
    payload = event("charge.dispute.created", peer.dispute(order.charge.gateway_id, 1199))
    assert post(client, payload, signature(payload, age=age)).status_code == status
    assert Dispute.objects.exists() == (status == 200)


def test_event_of_somebody_else_is_not_believed(peer: Peer, order: Order, client: Client) -> None:
    payload = event("charge.dispute.created", peer.dispute(order.charge.gateway_id, 1199))
    assert post(client, payload, signature(payload, secret="whsec_of_somebody_else")).status_code == 400
    assert kinds(order) == ["payment"]


def test_dispute_about_a_charge_that_is_not_ours_is_acknowledged(peer: Peer, order: Order, tell: Told) -> None:
    customer = peer.ask("POST", "/v1/customers")["id"]
    method = peer.ask("POST", "/v1/payment_methods", **card())["id"]
    peer.ask("POST", f"/v1/payment_methods/{method}/attach", customer=customer)
    of_others = peer.ask(
        "POST", "/v1/payment_intents", amount="500", currency="usd", customer=customer, payment_method=method,
        confirm="true",
    )  # fmt: skip
    assert tell(peer.dispute(of_others["id"], 500)) == 200
    assert not Dispute.objects.exists()
    assert GatewayEvent.objects.filter(type="charge.dispute.created").count() == 1


def test_dispute_that_stripe_does_not_know_is_acknowledged(order: Order, tell: Told) -> None:
    assert tell("du_nowhere") == 200
    assert not Dispute.objects.exists()


def test_stripe_that_does_not_answer_tells_again(peer: Peer, order: Order, tell: Told, settings: Settings) -> None:
    dispute = peer.dispute(order.charge.gateway_id, 1199)
    settings.STRIPE_API_BASE = "http://127.0.0.1:1"
    assert tell(dispute, event_id="evt_7") == 503
    assert not GatewayEvent.objects.filter(event_id="evt_7").exists()
    settings.STRIPE_API_BASE = peer.front
    assert tell(dispute, event_id="evt_7") == 200
    assert kinds(order) == ["payment", "chargeback"]


def test_refund_at_stripe_leaves_the_rest_to_dispute(peer: Peer, order: Order, tell: Told) -> None:
    done = refund(order, (1, "5"))
    assert done.state == "done"
    (at_stripe,) = peer.ask("GET", f"/v1/refunds?charge={charge_of(peer, order)}")["data"]
    assert (at_stripe["id"], at_stripe["amount"]) == (done.gateway_id, 500)
    assert tell(peer.dispute(order.charge.gateway_id, 1199)) == 200
    assert spend(order)[1:] == [("refund", "1", 5), ("chargeback", "1", Decimal("6.99"))]


def test_dispute_of_a_payment_not_yet_recorded_finishes_that_first(
    peer: Peer, alice: User, tell: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was gone between the charge and its record: Stripe knows our key, and tells it."""
    with monkeypatch.context() as patch:
        patch.setattr(orders, "record_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            buy(alice, domain=1)
    intent = peer.ask("GET", "/v1/payment_intents?limit=100")["data"][-1]
    assert intent["customer"] == GatewayCustomer.objects.get(customer=alice).token
    assert Charge.objects.get().gateway_id == ""
    assert tell(peer.dispute(intent["id"], 1199)) == 200
    assert kinds(Order.objects.get()) == ["payment", "chargeback"]


def interrupted(**answer: object) -> None:
    raise KeyboardInterrupt


def charge_of(peer: Peer, order: Order) -> str:
    intent = peer.ask("GET", f"/v1/payment_intents/{order.charge.gateway_id}")
    return str(intent["latest_charge"]["id"])


def card() -> dict[str, str]:
    told = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2030", "cvc": "123"}
    return {"type": "card", **{f"card[{name}]": value for name, value in told.items()}}
