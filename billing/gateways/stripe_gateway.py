"""Stripe, by its official library: cards are entered on Stripe's own page (Checkout in setup mode), never on ours.

A redirect and not Stripe's fields within our page: it works without JavaScript, no script of others runs on the site,
and the strict Content-Security-Policy stays closed but for one place, where a form may lead to Stripe's page.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import stripe
from django.conf import settings
from djmoney.money import Money

from billing.gateways.interface import (
    Card,
    News,
    ToldDispute,
    UnableToCharge,
    UnableToReachGateway,
    UnableToRefund,
    UnableToTakeCard,
    UnableToTrustEvent,
    outside_transactions,
)

logger = logging.getLogger(__name__)

CHECKOUT = "https://checkout.stripe.com"
TIMEOUT = 10
"""Seconds for an answer; the library asks again twice."""

TOLERANCE = 300
"""Seconds by which the signature of an event may be old: one that is sent again later is not taken for new."""

DISPUTES = {"needs_response": "open", "under_review": "open", "lost": "lost", "won": "won"}
"""What the statuses of a dispute come to; the others (`warning_…`, `prevented`) take no money back."""

SKEW = timedelta(days=1)
"""How far our clock and Stripe's may be apart when a charge is looked for."""

ENTRY = re.compile(r"cs_[A-Za-z0-9_]{1,200}")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_our_words(ask: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Say what went wrong as every gateway does."""

    @wraps(ask)
    def asked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return ask(*args, **kwargs)
        except stripe.CardError as fault:
            raise UnableToTakeCard("expired" if fault.code == "expired_card" else "declined") from fault
        except stripe.StripeError as fault:
            raise UnableToReachGateway from fault

    return asked


@contextmanager
def charging() -> Iterator[None]:
    """Tell what Stripe has said no to from what it may have done: only the former is certain.

    By 400 and 404 Stripe says that it has not begun; a key in use or reused (409, `idempotency_error`), a fault of its
    own or silence say nothing of the kind.
    """
    try:
        yield
    except stripe.CardError as fault:
        raise UnableToCharge("declined") from fault
    except stripe.InvalidRequestError as fault:
        raise UnableToCharge("refused") from fault
    except stripe.StripeError as fault:
        raise UnableToReachGateway from fault


class Stripe:
    """The gateway of production."""

    name = "stripe"
    # Stripe's smallest charge in US dollars, and eight digits of cents.
    least = Decimal("0.50")
    most = Decimal("999999.99")

    def __init__(self) -> None:
        base = {"api": settings.STRIPE_API_BASE} if settings.STRIPE_API_BASE else {}
        self._client = stripe.StripeClient(
            settings.STRIPE_SECRET_KEY,
            base_addresses=base,  # type: ignore[arg-type]
            max_network_retries=2,
            http_client=stripe.RequestsClient(timeout=TIMEOUT),
        )

    def form_targets(self) -> Sequence[str]:
        """Stripe's page; that of a peer where another address stands for Stripe's."""
        if not settings.STRIPE_API_BASE:
            return [CHECKOUT]
        base = urlsplit(settings.STRIPE_API_BASE)
        return [f"{base.scheme}://{base.netloc}"]

    @outside_transactions
    @in_our_words
    def open_customer(self, *, account_id: str, attempt: int) -> str:
        """Make the account a customer of Stripe's, known there by its id alone."""
        options: Any = {"idempotency_key": f"customer:{account_id}:{attempt}"}
        made = self._client.v1.customers.create({"metadata": {"account_id": account_id}}, options)
        return str(made.id)

    @outside_transactions
    @in_our_words
    def entry_page(self, *, customer: str, back: str, cancelled: str) -> str:
        """Open a session of Checkout that sets a card up, and return its page."""
        wanted: Any = {
            "mode": "setup",
            "payment_method_types": ["card"],
            "customer": customer,
            "success_url": f"{back}?entry={{CHECKOUT_SESSION_ID}}",
            "cancel_url": cancelled,
        }
        return str(self._client.v1.checkout.sessions.create(wanted).url)

    @outside_transactions
    @in_our_words
    def card(self, *, customer: str, entry: str) -> Card:
        """Return what Stripe says was entered in this session, if it is this customer's and complete."""
        if not ENTRY.fullmatch(entry):
            raise UnableToTakeCard("foreign")
        try:
            session = self._client.v1.checkout.sessions.retrieve(entry)
        except stripe.InvalidRequestError:
            raise UnableToTakeCard("foreign") from None
        if session.customer != customer or session.mode != "setup":
            raise UnableToTakeCard("foreign")
        news = self._set_up(str(session.setup_intent))
        if news.card is None:
            raise UnableToTakeCard("unfinished")
        if news.customer != customer:
            raise UnableToTakeCard("foreign")
        return news.card

    @outside_transactions
    @in_our_words
    def forget(self, *, token: str) -> None:
        """Detach the card from its customer; it can never be attached again."""
        if self._look_at(token) is not None:
            self._client.v1.payment_methods.detach(token)

    @outside_transactions
    def charge(self, *, customer: str, token: str, amount: Money, key: str, description: str) -> str:
        """Confirm a PaymentIntent, without the customer at hand; return its id.

        Our key is Stripe's idempotency key, which it remembers for a day, and stands in the metadata, by which the
        intent is found ever after.
        """
        wanted: Any = {
            "amount": _cents(amount),
            "currency": "usd",
            "customer": customer,
            "payment_method": token,
            "payment_method_types": ["card"],
            "confirm": True,
            "off_session": True,
            "description": description,
            "metadata": {"key": key},
        }
        options: Any = {"idempotency_key": key}
        with charging():
            return self._outcome(self._client.v1.payment_intents.create(wanted, options))

    @outside_transactions
    @in_our_words
    def find_charge(self, *, customer: str, key: str, since: datetime) -> str | None:
        """Look for our key among the customer's PaymentIntents; Stripe's search would lag behind."""
        wanted: Any = {"customer": customer, "created": {"gte": int((since - SKEW).timestamp())}, "limit": 100}
        for intent in self._client.v1.payment_intents.list(wanted).auto_paging_iter():
            if _key_of(intent) == key:
                return self._outcome(intent)
        return None

    @outside_transactions
    @in_our_words
    def refund(self, *, charge_id: str, amount: Money, key: str) -> str:
        """Refund a part of a PaymentIntent; what was refunded by this key is found by it, however long ago."""
        of_it: Any = {"payment_intent": charge_id, "limit": 100}
        for known in self._client.v1.refunds.list(of_it).auto_paging_iter():
            if _key_of(known) == key:
                return _refunded(known)
        wanted: Any = {"payment_intent": charge_id, "amount": _cents(amount), "metadata": {"key": key}}
        options: Any = {"idempotency_key": key}
        try:
            return _refunded(self._client.v1.refunds.create(wanted, options))
        except (stripe.InvalidRequestError, stripe.CardError) as fault:
            raise UnableToRefund from fault

    def _outcome(self, intent: stripe.PaymentIntent) -> str:
        """Return the intent's id if it has taken the money. What waits for the customer ends here: nobody comes."""
        match intent.status:
            case "succeeded":
                return intent.id
            case "processing":
                raise UnableToReachGateway
            case "requires_action" | "requires_confirmation" | "requires_capture":
                self._client.v1.payment_intents.cancel(intent.id)
        raise UnableToCharge("declined")

    def read_event(self, payload: bytes, *, signature: str) -> dict[str, Any]:
        """Return an event that Stripe has signed lately. Raises UnableToTrustEvent."""
        try:
            stripe.WebhookSignature.verify_header(
                payload, signature, settings.STRIPE_WEBHOOK_SECRET, tolerance=TOLERANCE
            )
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            raise UnableToTrustEvent("signature") from None
        try:
            event = json.loads(payload)
            return {"id": str(event["id"]), "type": str(event["type"]), "of": str(event["data"]["object"]["id"])}
        except (ValueError, KeyError, TypeError):
            raise UnableToTrustEvent("form") from None

    @outside_transactions
    @in_our_words
    def look_up(self, event: dict[str, Any]) -> News:
        """Ask Stripe how what the event names stands now: events come twice, late and in any order, the answer does
        not."""
        match event["type"]:
            case "setup_intent.succeeded":
                return self._set_up(event["of"])
            case "payment_method.updated" | "payment_method.automatically_updated" | "payment_method.detached":
                method = self._look_at(event["of"])
                return _news_of(method) if method else News(gone_token=event["of"])
            case "customer.deleted":
                return News() if self._is_customer(event["of"]) else News(gone_customer=event["of"])
            case kind if kind.startswith("charge.dispute."):
                return self._dispute(event["of"])
            case _:
                return News()

    def _set_up(self, setup_intent: str) -> News:
        try:
            intent = self._client.v1.setup_intents.retrieve(setup_intent, {"expand": ["payment_method"]})
        except stripe.InvalidRequestError:
            return News()
        method = intent.payment_method
        if intent.status != "succeeded" or not isinstance(method, stripe.PaymentMethod) or not method.customer:
            return News()
        return _news_of(method, is_new=True)

    def _dispute(self, dispute_id: str) -> News:
        """How a dispute stands; nothing of an inquiry, which takes no money, nor of what is not in dollars."""
        try:
            dispute = self._client.v1.disputes.retrieve(dispute_id, {"expand": ["payment_intent"]})
        except stripe.InvalidRequestError as fault:
            if fault.http_status == 404:
                return News()
            raise
        state, intent = DISPUTES.get(dispute.status), dispute.payment_intent
        if state is None:
            return News()
        if dispute.currency != "usd":
            logger.error("Dispute %s is in %s: staff must see to it", dispute.id, dispute.currency)
            return News()
        key = _key_of(intent) if isinstance(intent, stripe.PaymentIntent) else ""
        names = (str(dispute.charge), str(getattr(intent, "id", intent or "")))
        return News(dispute=ToldDispute(dispute_id, names, key, Decimal(dispute.amount) / 100, state))

    def _look_at(self, token: str) -> stripe.PaymentMethod | None:
        """The card, if it is kept for a customer still."""
        try:
            method = self._client.v1.payment_methods.retrieve(token)
        except stripe.InvalidRequestError as fault:
            if fault.http_status == 404:
                return None
            raise
        return method if method.customer else None

    def _is_customer(self, customer: str) -> bool:
        try:
            return not getattr(self._client.v1.customers.retrieve(customer), "deleted", False)
        except stripe.InvalidRequestError as fault:
            if fault.http_status == 404:
                return False
            raise


def _cents(amount: Money) -> int:
    return int(amount.amount * 100)


def _key_of(known: stripe.PaymentIntent | stripe.Refund) -> str:
    """Return the key of ours that an object was made by."""
    told: Any = known.metadata or {}
    return str(told["key"]) if "key" in told else ""


def _refunded(refund: stripe.Refund) -> str:
    if refund.status in ("failed", "canceled"):
        raise UnableToRefund
    return refund.id


def _news_of(method: stripe.PaymentMethod, *, is_new: bool = False) -> News:
    """What Stripe tells of a card; nothing of other ways to pay, which we do not ask for."""
    card = method.card
    if card is None:
        return News()
    kept = Card(
        token=method.id,
        brand=card.brand,
        last_four=card.last4,
        expiry_month=card.exp_month,
        expiry_year=card.exp_year,
        fingerprint=card.fingerprint or "",
    )
    return News(customer=str(method.customer), card=kept, is_new=is_new)
