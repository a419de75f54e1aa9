"""Payment methods on file: added, made the default, removed; what staff arrange, and what gateways tell.

A gateway is asked first, outside any transaction; what it answers is then recorded in one. Whatever changes a
customer's methods holds their User, and keeps there what they come to: on file since when, and usable until when
(TERMS: Who may refer).
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import KnownIdentifier, User
from accounts.operations import UnableToAddPaymentMethod, card_digest, keep_payment_method, remember_identifier
from accounts.retries import retried
from billing.gateways import (
    Card,
    News,
    UnableToReachGateway,
    UnableToTakeCard,
    gateway_in_use,
    gateway_named,
)
from billing.gateways.stripe_gateway import Stripe
from billing.models import GatewayCustomer, GatewayEvent, PaymentMethod, PaymentMethodQuerySet, end_of_month
from billing.operations.disputes import finish_what_is_disputed, record_dispute

logger = logging.getLogger(__name__)

MOST_METHODS = 10


class UnableToChangePaymentMethod(Exception):
    """The method is not on this customer's file (`unknown`), or it is not theirs to change (`arranged`)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unregistered(Exception):
    """There is no registered account with this id."""


def start_card(*, customer_id: int, back: str, cancelled: str, now: datetime) -> str:
    """Return the address at which the customer enters a card; the gateway leads to `back` after that.

    Raises UnableToTakeCard: many, unregistered; UnableToReachGateway.
    """
    customer = _customer(customer_id)
    if PaymentMethod.objects.on_file().filter(customer_id=customer_id).count() >= MOST_METHODS:
        raise UnableToTakeCard("many")
    name = _name_at_gateway(customer, now)
    return gateway_in_use().entry_page(customer=name, back=back, cancelled=cancelled)


def save_card(*, customer_id: int, entry: str, now: datetime) -> PaymentMethod:
    """Put the card on file that was entered at the gateway, which is asked for it; again, nothing changes.

    Raises UnableToTakeCard, UnableToReachGateway.
    """
    gateway = gateway_in_use()
    card = gateway.card(customer=_name_at_gateway(_customer(customer_id), now), entry=entry)
    try:
        return add_card(customer_id=customer_id, gateway=gateway.name, card=card, now=now)
    except UnableToTakeCard as refusal:
        if refusal.code in {"expired", "many", "unregistered"}:
            _forget(gateway.name, card.token)
        raise


def remove_card(*, customer_id: int, method_id: int, now: datetime) -> None:
    """Take a card off file, at its gateway first; of those left, the one added last becomes the default.

    Raises UnableToChangePaymentMethod, UnableToReachGateway: then nothing has changed.
    """
    method = PaymentMethod.objects.on_file().filter(customer_id=customer_id, pk=method_id).first()
    if method is None:
        raise UnableToChangePaymentMethod("unknown")
    if method.is_outside:
        raise UnableToChangePaymentMethod("arranged")
    gateway_named(method.gateway).forget(token=method.token)
    take_card_off(customer_id=customer_id, method_id=method_id, now=now)


def clear_payment_methods(*, customer_id: int, now: datetime) -> bool:
    """Take everything off a customer's file, as staff do, and at the gateways too; return False where nothing is there.

    A gateway that does not answer keeps a card that is of no use to anybody: that is logged.
    """
    cleared = clear_file(customer_id=customer_id, now=now)
    forget_cards(methods=cleared or [])
    return cleared is not None


def forget_cards(*, methods: Sequence[PaymentMethod]) -> None:
    """Have the gateways forget cards that were taken off file. Outside any transaction."""
    for method in methods:
        if not method.is_outside:
            _forget(method.gateway, method.token)


def receive_stripe_event(*, payload: bytes, signature: str, now: datetime) -> bool:
    """Let what Stripe tells by a webhook take effect; return False where that has been so before.

    The event only names something: how that stands now, Stripe is asked. Raises UnableToTrustEvent,
    UnableToReachGateway, UnableToRecordDispute.
    """
    stripe = Stripe()
    event = stripe.read_event(payload, signature=signature)
    if GatewayEvent.objects.filter(gateway=stripe.name, event_id=event["id"]).exists():
        return False  # saves asking; what decides is the key
    news = stripe.look_up(event)
    if news.dispute:
        finish_what_is_disputed(gateway=stripe.name, told=news.dispute, now=now)
    return record_news(gateway=stripe.name, event_id=event["id"], event_type=event["type"], news=news, now=now)


@retried
def add_card(*, customer_id: int, gateway: str, card: Card, now: datetime) -> PaymentMethod:
    """Put a card on file, and return it; the first is the default. A token that is on file stays as it is.

    Remembers the card by its fingerprint. Locks the User. Raises UnableToTakeCard: expired, foreign, removed, many,
    unregistered.
    """
    if end_of_month(card.expiry_year, card.expiry_month) <= now:
        raise UnableToTakeCard("expired")
    with transaction.atomic():
        user, methods = _lock_open_file(customer_id, now)
        if len(methods) >= MOST_METHODS and card.token not in [method.token for method in methods]:
            raise UnableToTakeCard("many")
        method, is_new = PaymentMethod.objects.get_or_create(
            gateway=gateway,
            token=card.token,
            defaults={
                "customer": user,
                "is_default": not any(method.is_default for method in methods),
                "added_at": now,
                **_told_of(card),
            },
        )
        if method.customer_id != customer_id:
            raise UnableToTakeCard("foreign")
        if method.removed_at is not None:
            raise UnableToTakeCard("removed")
        if is_new:
            remember(method, now)
            keep_file(user, now)
        return method


@retried
def set_default_card(*, customer_id: int, method_id: int, now: datetime) -> bool:
    """Make a method the default; return False where it is. Locks the User. Raises UnableToChangePaymentMethod."""
    with transaction.atomic():
        chosen = _one_of(_lock_file_if_any(customer_id, now), method_id)
        if chosen.gateway == PaymentMethod.Gateway.BILLING:
            raise UnableToChangePaymentMethod("arranged")
        if chosen.is_default:
            return False
        _make_default(chosen)
        return True


@retried
def take_card_off(*, customer_id: int, method_id: int, now: datetime) -> None:
    """Record that a method is off file; nothing where it is. Of those left, the one added last becomes the default.

    Locks the User.
    """
    with transaction.atomic():
        user, methods = lock_file(customer_id, now)
        going = [method for method in methods if method.pk == method_id]
        _take_off(user, methods, going, now)


@retried
def clear_file(*, customer_id: int, now: datetime) -> list[PaymentMethod] | None:
    """Record that nothing is on a customer's file, and return what was; None where nothing is. Locks the User."""
    with transaction.atomic():
        if not (methods := _lock_file_if_any(customer_id, now)):
            return None
        user = methods[0].customer
        _take_off(user, methods, methods, now)
        return methods


@retried
def arrange_payment(*, customer_id: int, now: datetime) -> bool:
    """Put on file that staff have arranged another way to pay with the customer; return False where that is so.

    Locks the User. Raises UnableToAddPaymentMethod.
    """
    with transaction.atomic():
        try:
            user, methods = lock_file(customer_id, now)
        except Unregistered:
            raise UnableToAddPaymentMethod from None
        if any(method.gateway == PaymentMethod.Gateway.STAFF for method in methods):
            return False
        _record_arrangement(user, now, is_default=not any(method.is_default for method in methods))
        keep_file(user, now)
        return True


@retried
def record_news(*, gateway: str, event_id: str, event_type: str, news: News, now: datetime) -> bool:
    """Record an event and what its gateway said of it, once: the unique key decides. Return whether this did it.

    Locks the User whom it is about, or the Order. Raises UnableToRecordDispute.
    """
    with transaction.atomic():
        if not _is_first(gateway, event_id, event_type, now):
            return False
        if news.card:
            _record_card(gateway, news, news.card, now)
        if news.gone_token:
            _record_gone_cards(gateway, PaymentMethod.objects.filter(token=news.gone_token), now)
        if news.gone_customer:
            gone = GatewayCustomer.objects.filter(gateway=gateway, token=news.gone_customer, closed_at=None)
            owners = list(gone.values_list("customer_id", flat=True))
            gone.update(closed_at=now)
            _record_gone_cards(gateway, PaymentMethod.objects.filter(customer_id__in=owners), now)
        if news.dispute:
            record_dispute(gateway=gateway, told=news.dispute, now=now)
        return True


@retried
def remember_name(*, customer_id: int, gateway: str, token: str, now: datetime) -> str:
    """Record the name that a customer has at a gateway, and return it; the one recorded first stays."""
    try:
        with transaction.atomic():
            GatewayCustomer.objects.create(customer_id=customer_id, gateway=gateway, token=token, opened_at=now)
            return token
    except IntegrityError:
        return GatewayCustomer.objects.get(customer_id=customer_id, gateway=gateway, closed_at=None).token


def _customer(customer_id: int) -> User:
    customer = User.objects.get_queryset().registered().filter(pk=customer_id, closed_at=None).first()
    if customer is None:
        raise UnableToTakeCard("unregistered")
    return customer


def _name_at_gateway(customer: User, now: datetime) -> str:
    gateway = gateway_in_use()
    names = GatewayCustomer.objects.filter(customer=customer, gateway=gateway.name).order_by("pk")
    known = list(names)
    if known and known[-1].closed_at is None:
        return known[-1].token
    token = gateway.open_customer(account_id=customer.account_id, attempt=len(known))
    return remember_name(customer_id=customer.pk, gateway=gateway.name, token=token, now=now)


def _forget(gateway: str, token: str) -> None:
    try:
        gateway_named(gateway).forget(token=token)
    except UnableToReachGateway:
        logger.warning("%s did not answer, and still keeps %s", gateway, token)


def lock_file(customer_id: int, now: datetime) -> tuple[User, list[PaymentMethod]]:
    """Lock the customer, and return what is on file after that, the newest first."""
    # Two changes of one file at once, as a removal and a new default: the second waits, and reads what the first has
    # left.
    accounts = User.objects.get_queryset().registered().filter(pk=customer_id)
    user = accounts.select_for_update(no_key=True, of=("self",)).first()
    if user is None:
        raise Unregistered
    methods = _read_file(customer_id)
    fact_at = user.payment_method_added_at if user.payment_method_expires_at is None else None
    if fact_at and all(method.expires_at for method in methods):
        # A fact that came in without a row, where no card was or each had expired: it must not go with the next card.
        methods.insert(0, _record_arrangement(user, fact_at, is_default=not methods))
    return user, methods


def _lock_open_file(customer_id: int, now: datetime) -> tuple[User, list[PaymentMethod]]:
    """The same, of an account that may get a card. Raises UnableToTakeCard."""
    try:
        user, methods = lock_file(customer_id, now)
    except Unregistered:
        raise UnableToTakeCard("unregistered") from None
    if user.closed_at:
        raise UnableToTakeCard("unregistered")
    return user, methods


def _lock_file_if_any(customer_id: int, now: datetime) -> list[PaymentMethod]:
    """The same, and nothing of an account that is not there."""
    try:
        return lock_file(customer_id, now)[1]
    except Unregistered:
        return []


def _read_file(customer_id: int) -> list[PaymentMethod]:
    return list(
        PaymentMethod.objects.on_file()
        .filter(customer_id=customer_id)
        .select_related("customer")
        .order_by("-added_at", "-pk")
    )


def keep_file(user: User, now: datetime) -> None:
    """Let the User say what is on file. The caller has locked it."""
    methods = _read_file(user.pk)
    ends = [method.expires_at for method in methods if method.expires_at]
    keep_payment_method(
        user_id=user.pk,
        since=min((method.added_at for method in methods), default=None),
        expires_at=max(ends) if methods and len(ends) == len(methods) else None,
        now=now,
    )


def _record_arrangement(user: User, at: datetime, *, is_default: bool) -> PaymentMethod:
    number = PaymentMethod.objects.filter(customer=user, gateway=PaymentMethod.Gateway.STAFF).count()
    return PaymentMethod.objects.create(
        customer=user,
        gateway=PaymentMethod.Gateway.STAFF,
        token=f"staff-{user.pk}-{number}",
        is_default=is_default,
        added_at=at,
    )


def _one_of(methods: list[PaymentMethod], method_id: int) -> PaymentMethod:
    for method in methods:
        if method.pk == method_id:
            return method
    raise UnableToChangePaymentMethod("unknown")


def _make_default(chosen: PaymentMethod) -> None:
    theirs = PaymentMethod.objects.filter(customer_id=chosen.customer_id)
    theirs.filter(is_default=True).update(is_default=False)
    theirs.filter(pk=chosen.pk).update(is_default=True)


def _take_off(user: User, methods: list[PaymentMethod], going: list[PaymentMethod], now: datetime) -> None:
    if not going:
        return
    gone = {method.pk for method in going}
    PaymentMethod.objects.filter(pk__in=gone).update(removed_at=now, is_default=False)
    left = [method for method in methods if method.pk not in gone]
    possible = [method for method in left if method.gateway != PaymentMethod.Gateway.BILLING]
    if possible and not any(method.is_default for method in possible):
        _make_default(possible[0])
    keep_file(user, now)


def _is_first(gateway: str, event_id: str, event_type: str, now: datetime) -> bool:
    try:
        with transaction.atomic():
            GatewayEvent.objects.create(gateway=gateway, event_id=event_id, type=event_type, received_at=now)
    except IntegrityError:
        return False
    return True


def _record_card(gateway: str, news: News, card: Card, now: datetime) -> None:
    """Bring a card up to date that is on file, or put a new one there; nothing of customers who are not ours."""
    known = PaymentMethod.objects.filter(gateway=gateway, token=card.token).first()
    if known is None:
        owner = GatewayCustomer.objects.filter(gateway=gateway, token=news.customer).first()
        if owner and news.is_new:
            _add_told(owner.customer_id, gateway, card, now)
        return
    user, methods = lock_file(known.customer_id, now)
    if known.pk in [method.pk for method in methods]:
        PaymentMethod.objects.filter(pk=known.pk).update(**_told_of(card))
        known.fingerprint = card.fingerprint
        remember(known, now)
        keep_file(user, now)


def _add_told(customer_id: int, gateway: str, card: Card, now: datetime) -> None:
    try:
        add_card(customer_id=customer_id, gateway=gateway, card=card, now=now)
    except UnableToTakeCard as refusal:
        logger.warning("A card that %s keeps is not put on file: %s", gateway, refusal.code)


def _record_gone_cards(gateway: str, told: PaymentMethodQuerySet, now: datetime) -> None:
    for owner in sorted(set(told.filter(gateway=gateway).values_list("customer_id", flat=True))):
        user, methods = lock_file(owner, now)
        gone = set(told.filter(gateway=gateway).values_list("pk", flat=True))
        _take_off(user, methods, [method for method in methods if method.pk in gone], now)


def _told_of(card: Card) -> dict[str, object]:
    return {
        "brand": card.brand,
        "last_four": card.last_four,
        "expiry_month": card.expiry_month,
        "expiry_year": card.expiry_year,
        "expires_at": end_of_month(card.expiry_year, card.expiry_month),
        "fingerprint": card.fingerprint,
    }


def remember(method: PaymentMethod, now: datetime) -> None:
    if method.fingerprint:
        digest = card_digest(gateway=method.gateway, fingerprint=method.fingerprint)
        kind = KnownIdentifier.Kind.CARD
        remember_identifier(kind=kind, digest=digest, customer_id=method.customer_id, now=now)
