"""Charges and refunds at Stripe, over HTTP: PaymentIntents, declines and refunds are localstripe's own. Idempotency
keys, the list of a customer's PaymentIntents and lost answers are the front's, as Stripe documents them
(tests/stripe_peer.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import stripe as library
from django.db import transaction
from django.utils import timezone
from djmoney.money import Money
from pytest_django import Settings

from accounts.models import User
from billing.gateways import UnableToCharge, UnableToReachGateway, UnableToRefund
from billing.gateways.stripe_gateway import Stripe, charging
from billing.models import Charge, GatewayCustomer, Order, PaymentMethod, Product
from billing.operations import UnableToOrder, check_out, finish_orders, place_order, remove_card, save_card, start_card
from billing.queries.checkout import Wanted, quote
from credits.models import Coupon
from credits.operations import NewCoupon, issue_coupons, redeem
from tests.facts import register
from tests.stripe_peer import SECRET_KEY, WEBHOOK_SECRET, Peer, running_peer

pytestmark = pytest.mark.django_db(transaction=True)

VISA, NOT_CHARGED, ASKS_FOR_MORE = "4242424242424242", "4000000000000341", "4000002500003155"
TRIES = 3
"""How often the library asks before it gives up."""
MINUTES, HOURS = timedelta(minutes=2), timedelta(hours=2)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with running_peer() as peer:
        yield peer


@pytest.fixture(autouse=True)
def stripe(peer: Peer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PAYMENT_GATEWAY = "stripe"
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    settings.STRIPE_API_BASE = peer.front
    # The library waits longer before it asks again than a test should.
    monkeypatch.setattr(library.HTTPClient, "_sleep_time_seconds", lambda *args, **options: 0)
    peer.begin_anew()


@pytest.fixture
def now() -> datetime:
    """By the peer's clock, which is the real one."""
    return timezone.now()


@pytest.fixture
def alice(now: datetime) -> User:
    Product.objects.update(accepts_trial=False)
    return register("alice", at=now - timedelta(days=1))


def add(peer: Peer, user: User, now: datetime, number: str = VISA) -> PaymentMethod:
    page = start_card(customer_id=user.pk, back="https://x.example/", cancelled="https://x.example/", now=now)
    session = page.rpartition("/")[2]
    peer.enter(session, number)
    return save_card(customer_id=user.pk, entry=session, now=now)


def at_stripe(peer: Peer, user: User) -> list[tuple[str, int, int]]:
    """Return status, amount and what was given back of each PaymentIntent of a customer, in cents."""
    name = GatewayCustomer.objects.get(customer=user).token
    intents = peer.ask("GET", "/v1/payment_intents?limit=100")["data"]
    return [
        (one["status"], one["amount"], sum(charge["amount_refunded"] for charge in one["charges"]["data"]))
        for one in intents
        if one["customer"] == name
    ]


def terms(user: User, now: datetime, *, key: str = "button", quantity: int = 1) -> Any:
    wanted = [Wanted("domain", quantity)]
    seen = quote(customer_id=user.pk, wanted=wanted, now=now).seen
    return {"customer_id": user.pk, "key": key, "wanted": wanted, "seen": seen, "now": now}


def charge(method: PaymentMethod, *, key: str = "key", amount: str = "11.99") -> str:
    name = GatewayCustomer.objects.get(customer=method.customer).token
    return Stripe().charge(
        customer=name, token=method.token, amount=Money(amount, "USD"), key=key, description="An order"
    )


def find(method: PaymentMethod, *, key: str = "key", since: datetime) -> str | None:
    name = GatewayCustomer.objects.get(customer=method.customer).token
    return Stripe().find_charge(customer=name, key=key, since=since)


# The gateway


def test_charge_is_made_once_for_each_key(peer: Peer, alice: User, now: datetime) -> None:
    method = add(peer, alice, now)
    first = charge(method, key="once")
    assert charge(method, key="once") == first
    assert first.startswith("pi_")
    assert at_stripe(peer, alice) == [("succeeded", 1199, 0)]
    assert charge(method, key="twice") != first
    assert len(at_stripe(peer, alice)) == 2


def test_charge_is_found_by_its_key(peer: Peer, alice: User, now: datetime) -> None:
    method = add(peer, alice, now)
    made = charge(method, key="found")
    charge(method, key="another")
    assert find(method, key="found", since=now) == made
    assert find(method, key="never", since=now) is None


def test_charge_of_another_customer_is_not_found(peer: Peer, alice: User, now: datetime) -> None:
    mallory = register("mallory", at=now)
    theirs, method = add(peer, mallory, now), add(peer, alice, now)
    charge(theirs, key="of mallory")
    assert find(method, key="of mallory", since=now) is None


def test_declined_charge_is_told_from_one_that_was_not_made(peer: Peer, alice: User, now: datetime) -> None:
    method = add(peer, alice, now, NOT_CHARGED)
    with pytest.raises(UnableToCharge) as refusal:
        charge(method, key="declined")
    assert refusal.value.code == "declined"
    with pytest.raises(UnableToCharge) as refusal:
        find(method, key="declined", since=now)
    assert refusal.value.code == "declined"


def test_charge_that_wants_its_customer_is_declined_and_can_never_be_completed(
    peer: Peer, alice: User, now: datetime
) -> None:
    method = add(peer, alice, now)
    entered = {"number": ASKS_FOR_MORE, "exp_month": "12", "exp_year": "2030", "cvc": "123"}
    form = {"type": "card", **{f"card[{name}]": value for name, value in entered.items()}}
    method.token = peer.ask("POST", "/v1/payment_methods", **form)["id"]
    name = GatewayCustomer.objects.get(customer=alice).token
    peer.ask("POST", f"/v1/payment_methods/{method.token}/attach", customer=name)
    with pytest.raises(UnableToCharge) as refusal:
        charge(method, key="3-D Secure")
    assert refusal.value.code == "declined"
    assert [status for status, *_ in at_stripe(peer, alice)] == ["canceled"]


def test_charge_that_stripe_does_not_begin_is_refused(alice: User, peer: Peer, now: datetime) -> None:
    method = add(peer, alice, now)
    method.token = "pm_of_nobody"
    with pytest.raises(UnableToCharge) as refusal:
        charge(method)
    assert refusal.value.code == "refused"


@pytest.mark.parametrize("fate", ["lost_requests", "lost_answers", "faults"])
def test_unknown_outcome_is_none(peer: Peer, alice: User, now: datetime, fate: str) -> None:
    method = add(peer, alice, now)
    setattr(peer, fate, TRIES)
    with pytest.raises(UnableToReachGateway):
        charge(method, key=fate)
    found = find(method, key=fate, since=now)
    assert (found is not None) == (fate == "lost_answers")
    assert len(at_stripe(peer, alice)) == (fate == "lost_answers")


def test_answer_that_is_lost_once_is_asked_for_again_and_charges_once(peer: Peer, alice: User, now: datetime) -> None:
    method = add(peer, alice, now)
    peer.lost_answers = 1
    assert charge(method, key="lost once").startswith("pi_")
    assert len(at_stripe(peer, alice)) == 1


def test_key_that_was_used_for_something_else_says_nothing_of_the_outcome(
    peer: Peer, alice: User, now: datetime
) -> None:
    method = add(peer, alice, now)
    charge(method, key="used")
    with pytest.raises(UnableToReachGateway):
        charge(method, key="used", amount="12")


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        (partial(library.CardError, "", "", "card_declined"), UnableToCharge),
        (partial(library.InvalidRequestError, "", ""), UnableToCharge),
        (partial(library.IdempotencyError, ""), UnableToReachGateway),
        (partial(library.APIConnectionError, ""), UnableToReachGateway),
        (partial(library.APIError, ""), UnableToReachGateway),
        (partial(library.RateLimitError, ""), UnableToReachGateway),
        (partial(library.AuthenticationError, ""), UnableToReachGateway),
    ],
    ids=["card", "request", "key", "connection", "fault", "rate", "secret"],
)
def test_only_a_refusal_counts_as_not_charged(fault: Callable[[], Exception], refusal: type[Exception]) -> None:
    with pytest.raises(refusal), charging():
        raise fault()


def test_refund_is_made_once_for_each_key(peer: Peer, alice: User, now: datetime) -> None:
    made = charge(add(peer, alice, now), key="to refund")
    part = {"charge_id": made, "amount": Money("4.99", "USD")}
    first = Stripe().refund(**part, key="part")  # type: ignore[arg-type]
    peer.answers.clear()  # Stripe forgets a key after a day; the refund itself stays
    assert Stripe().refund(**part, key="part") == first  # type: ignore[arg-type]
    assert at_stripe(peer, alice) == [("succeeded", 1199, 499)]
    Stripe().refund(charge_id=made, amount=Money(7, "USD"), key="the rest")
    assert at_stripe(peer, alice) == [("succeeded", 1199, 1199)]
    with pytest.raises(UnableToRefund):
        Stripe().refund(charge_id=made, amount=Money("0.01", "USD"), key="too much")


@pytest.mark.parametrize("fate", ["lost_requests", "lost_answers"])
def test_refund_whose_outcome_is_unknown_is_asked_for_again(peer: Peer, alice: User, now: datetime, fate: str) -> None:
    made = charge(add(peer, alice, now), key=f"refund with {fate}")
    back = {"charge_id": made, "amount": Money("11.99", "USD"), "key": f"back with {fate}"}
    setattr(peer, fate, TRIES)
    with pytest.raises(UnableToReachGateway):
        Stripe().refund(**back)  # type: ignore[arg-type]
    Stripe().refund(**back)  # type: ignore[arg-type]
    assert at_stripe(peer, alice) == [("succeeded", 1199, 1199)]


def test_nothing_is_asked_within_a_transaction(alice: User, peer: Peer, now: datetime) -> None:
    method = add(peer, alice, now)
    asked: list[Callable[[], object]] = [
        lambda: charge(method),
        lambda: find(method, since=now),
        lambda: Stripe().refund(charge_id="pi_1", amount=Money(1, "USD"), key="k"),
    ]
    for ask in asked:
        with pytest.raises(RuntimeError, match="inside a database transaction"), transaction.atomic():
            ask()


# Orders


def test_order_is_paid_at_stripe(peer: Peer, alice: User, now: datetime) -> None:
    add(peer, alice, now)
    order = check_out(**terms(alice, now))
    assert (order.state, at_stripe(peer, alice)) == ("paid", [("succeeded", 1199, 0)])
    assert check_out(**terms(alice, now)).pk == order.pk
    assert len(at_stripe(peer, alice)) == 1


def test_declined_order_is_cancelled(peer: Peer, alice: User, now: datetime) -> None:
    add(peer, alice, now, NOT_CHARGED)
    order = check_out(**terms(alice, now))
    assert (order.state, order.reason) == ("cancelled", "declined")


@pytest.mark.parametrize("fate", ["lost_requests", "lost_answers"])
def test_order_whose_outcome_is_unknown_is_asked_back_and_paid_once(
    peer: Peer, alice: User, now: datetime, fate: str
) -> None:
    add(peer, alice, now)
    setattr(peer, fate, TRIES)
    order = check_out(**terms(alice, now))
    assert (order.state, order.charge.state) == ("placed", "asked")
    assert finish_orders(now=now + MINUTES) == 1
    order.refresh_from_db()
    assert (order.state, at_stripe(peer, alice)) == ("paid", [("succeeded", 1199, 0)])


def test_charge_is_found_at_stripe_under_the_name_that_its_customer_had_then(
    peer: Peer, alice: User, now: datetime
) -> None:
    """As where Stripe's customer was deleted, and made anew for another card, before the charge was asked back."""
    add(peer, alice, now)
    peer.lost_answers = TRIES
    order = check_out(**terms(alice, now))
    GatewayCustomer.objects.update(closed_at=now + MINUTES)
    named = {"customer": alice, "gateway": "stripe", "token": "cus_anew", "opened_at": now + MINUTES}
    GatewayCustomer.objects.create(**named)
    assert finish_orders(now=now + HOURS) == 1
    order.refresh_from_db()
    assert order.state == "paid"


def test_order_to_which_stripe_answers_with_the_same_fault_for_a_day_is_not_charged(
    peer: Peer, alice: User, now: datetime
) -> None:
    add(peer, alice, now)
    peer.faults = 1
    order = check_out(**terms(alice, now))
    assert finish_orders(now=now + MINUTES) == 0
    assert finish_orders(now=now + HOURS) == 1
    order.refresh_from_db()
    assert (order.state, order.reason, at_stripe(peer, alice)) == ("cancelled", "not_charged", [])


def test_order_that_stripe_never_had_is_not_charged_later(peer: Peer, alice: User, now: datetime) -> None:
    add(peer, alice, now)
    peer.lost_requests = TRIES
    order = check_out(**terms(alice, now))
    assert finish_orders(now=now + HOURS) == 1
    order.refresh_from_db()
    assert (order.state, order.reason, at_stripe(peer, alice)) == ("cancelled", "not_charged", [])


def test_order_stays_open_for_as_long_as_stripe_is_not_reached(
    peer: Peer, alice: User, now: datetime, settings: Settings
) -> None:
    add(peer, alice, now)
    peer.lost_answers = TRIES
    order = check_out(**terms(alice, now))
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    assert finish_orders(now=now + HOURS) == 0
    order.refresh_from_db()
    assert order.state == "placed"
    settings.STRIPE_API_BASE = peer.front
    assert finish_orders(now=now + HOURS) == 1
    order.refresh_from_db()
    assert (order.state, at_stripe(peer, alice)) == ("paid", [("succeeded", 1199, 0)])


def test_charge_goes_back_where_the_credit_is_gone(peer: Peer, alice: User, now: datetime) -> None:
    add(peer, alice, now)
    Product.objects.filter(code="domain").update(accepts_credit=True)
    coupon = NewCoupon(alice.pk, "goodwill", None, "g", 5, now, now + timedelta(days=9))  # type: ignore[arg-type]
    issue_coupons(coupons=[coupon], now=now)
    order = place_order(**terms(alice, now))
    whole = Coupon.objects.get(source="g").amount
    redeem(source="billing", redemption_id="r", customer_id=alice.pk, amount=whole, occurred_at=now, now=now)
    assert finish_orders(now=now + MINUTES) == 1
    order.refresh_from_db()
    assert (order.state, order.reason, order.charge.state) == ("cancelled", "credit_gone", "undone")
    assert at_stripe(peer, alice) == [("succeeded", 699, 699)]


def test_card_that_was_removed_is_not_charged(peer: Peer, alice: User, now: datetime) -> None:
    method = add(peer, alice, now)
    order = place_order(**terms(alice, now))
    remove_card(customer_id=alice.pk, method_id=method.pk, now=now)
    assert finish_orders(now=now + HOURS) == 1
    order.refresh_from_db()
    assert (order.reason, at_stripe(peer, alice)) == ("not_charged", [])


@pytest.mark.parametrize(
    ("price", "code"),
    [("0.49", "small"), ("0.50", ""), ("999999.99", ""), ("1000000", "large")],
)
def test_what_stripe_cannot_charge_is_not_ordered(
    peer: Peer, alice: User, now: datetime, price: str, code: str
) -> None:
    add(peer, alice, now)
    Product.objects.filter(code="domain").update(price=price)
    if not code:
        assert check_out(**terms(alice, now)).state == "paid"
        return
    with pytest.raises(UnableToOrder) as refusal:
        check_out(**terms(alice, now))
    assert refusal.value.code == code
    assert not Order.objects.exists()
    assert not Charge.objects.exists()
