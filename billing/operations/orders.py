"""Checkout: an order is placed, its cash is charged, its credit redeemed, its spend recorded; each of that once.

The database is told before the gateway is asked, and again as soon as it has answered; no transaction is open in
between. So whatever dies, what stands in the database says what is left to do: `pay_order` does it, for the customer
who presses the button or for `finish_orders`, however often and by however many at once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from random import shuffle

from django.db import transaction

from accounts.models import User
from accounts.operations import POISON
from accounts.retries import retried
from billing.gateways import Gateway, UnableToCharge, UnableToReachGateway, UnableToRefund, can_charge, gateway_named
from billing.models import Charge, GatewayCustomer, Order, OrderCoupon, OrderLine, PaymentMethod
from billing.operations.spend import SpendFact, record_spend
from billing.queries.checkout import Quote, UnableToOrder, Wanted, quote
from credits.models import CouponKind
from credits.operations import CouponPart, UnableToRedeem, lock_accounts, redeem_parts

logger = logging.getLogger(__name__)

SOURCE = "console"
"""The system that issues the ids of our own orders (DESIGN: A batch is the unit)."""

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without signs that look alike."""
NUMBER_LENGTH = 10
LONGEST_KEY = 64

ASKED_AGAIN_FOR = timedelta(hours=1)
"""How long a charge that the gateway does not know is asked for again: well within the day for which Stripe remembers
a key, so that none is made twice."""
IN_PEACE_FOR = timedelta(minutes=1)
"""How long whoever has placed an order may take to pay it before the sweep does."""
MOST_AT_ONCE = 1000
MOST_UNREACHABLE = 3

Charged = tuple[Charge.State, str]


class UnableToFinish(Exception):
    """The order's spend does not go in, so that nothing of its payment does."""


def check_out(
    *,
    customer_id: int,
    key: str,
    wanted: Sequence[Wanted],
    without: Collection[int] = (),
    seen: str,
    card: int | None = None,
    now: datetime,
) -> Order:
    """Place an order and pay it; the same `key` again is the same order, whatever became of it.

    `seen` is `Quote.seen` of what the customer was shown, `card` the payment method that was. The order is PAID,
    CANCELLED with its reason, or still PLACED where the gateway has not said what it did: `finish_orders` asks it.
    Raises UnableToOrder: then there is no order.
    """
    order = place_order(customer_id=customer_id, key=key, wanted=wanted, without=without, seen=seen, card=card, now=now)
    return pay_order(order_id=order.pk, now=now)


@retried
def place_order(
    *,
    customer_id: int,
    key: str,
    wanted: Sequence[Wanted],
    without: Collection[int] = (),
    seen: str,
    card: int | None = None,
    now: datetime,
) -> Order:
    """Write down what is ordered and how it is to be paid; where this `key` has an order, return that.

    What it is to use of each coupon is held for it until it ends: no other order is offered that. Locks the
    CreditAccount. Raises UnableToOrder.
    """
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise UnableToOrder("key")
    with transaction.atomic():
        # Two orders at once would both be offered the same credit, and two presses of one button both find no order.
        has_account = lock_accounts(customer_ids=[customer_id])
        if placed := Order.objects.filter(customer=customer_id, key=key).first():
            return placed
        if not has_account or not _may_order(customer_id, now):
            raise UnableToOrder("account")
        quoted = quote(customer_id=customer_id, wanted=wanted, without=without, now=now)
        if quoted.seen != seen:
            raise UnableToOrder("changed")
        method = _card(customer_id, quoted, now) if quoted.cash else None
        if method and card not in (None, method.pk):
            raise UnableToOrder("changed")
        return _write(customer_id, key, quoted, method, now)


def pay_order(*, order_id: int, now: datetime) -> Order:
    """Bring an order as far as it can be brought: charge its cash, redeem its credit, record its spend; or undo it.

    An unknown outcome is asked back by the charge's key, never guessed. An order that has ended stays as it is.
    """
    try:
        return _pay(order_id, now)
    except UnableToReachGateway:
        order = Order.objects.get(pk=order_id)
        logger.warning("The gateway has not said what became of order %s", order.number)
        return order
    except UnableToFinish:
        logger.exception("Order %s cannot be finished yet", order_id)
        return Order.objects.get(pk=order_id)


def finish_orders(*, now: datetime) -> int:
    """Pay or undo the orders whose payment was broken off; return how many have ended.

    One that fails is logged, and holds up no other; a gateway that does not answer ends the run.
    """
    ended = unreachable = 0
    for order_id in _unfinished(now):
        try:
            order = _pay(order_id, now)
            ended += order.state != Order.State.PLACED
        except UnableToReachGateway:
            unreachable += 1
            if unreachable == MOST_UNREACHABLE:
                break
        except (UnableToFinish, UnableToRedeem, *POISON):
            logger.exception("Order %s cannot be finished", order_id)
    return ended


@retried
def record_answer(*, charge_id: int, state: Charge.State, gateway_id: str, now: datetime) -> None:
    """Record what a gateway said of a charge; what is not charged cancels its order.

    A charge that turns up after its order was cancelled is to be undone. Locks the Order.
    """
    with transaction.atomic():
        order_id = Charge.objects.values_list("order_id", flat=True).get(pk=charge_id)
        order = _lock(order_id)
        answer = {"state": state, "gateway_id": gateway_id, "answered_at": now}
        charge = Charge.objects.filter(pk=charge_id)
        if charge.filter(state=Charge.State.ASKED).update(**answer):
            if state == Charge.State.DECLINED:
                _cancel(order, Order.Reason.DECLINED, now)
            elif state == Charge.State.NOT_MADE:
                _cancel(order, Order.Reason.NOT_CHARGED, now)
        elif state == Charge.State.MADE:
            late = charge.filter(state__in=[Charge.State.DECLINED, Charge.State.NOT_MADE])
            late.update(**{**answer, "state": Charge.State.UNDOING})


@retried
def conclude_order(*, order_id: int, now: datetime) -> Order:
    """Redeem and record what an order is paid with, once its cash is charged; where its credit is gone, cancel it.

    Locks the Order, then the CreditAccount, then the advisory keys of its spend. Raises UnableToFinish, UnableToRedeem.
    """
    with transaction.atomic():
        # Two who conclude one order at once, as the sweep and the customer: the second waits, and finds it ended.
        order = _lock(order_id)
        charge = Charge.objects.filter(order=order).first()
        if order.state != Order.State.PLACED or (charge and charge.state != Charge.State.MADE):
            return order
        try:
            with transaction.atomic():
                _redeem(order, now)
        except UnableToRedeem as refusal:
            if refusal.code != "insufficient":
                raise
            Charge.objects.filter(order=order, state=Charge.State.MADE).update(state=Charge.State.UNDOING)
            _cancel(order, Order.Reason.CREDIT_GONE, now)
        else:
            _end(order, state=Order.State.PAID, paid_at=now)
            _record_spend(order, now)
        return order


@retried
def record_undone(*, charge_id: int, now: datetime) -> None:
    """Record that a charge went back whole."""
    undoing = Charge.objects.filter(pk=charge_id, state=Charge.State.UNDOING)
    undoing.update(state=Charge.State.UNDONE, answered_at=now)


def _may_order(customer_id: int, now: datetime) -> bool:
    customers = User.objects.get_queryset().registered().filter(pk=customer_id, closed_at=None, is_active=True)
    return customers.filter(registered_at__lte=now).exists()


def _card(customer_id: int, quoted: Quote, now: datetime) -> PaymentMethod:
    """The default payment method, if it is a card that can be charged this."""
    default = PaymentMethod.objects.on_file().filter(customer=customer_id, is_default=True)
    method = default.exclude(gateway__in=PaymentMethod.OUTSIDE).first()
    if method is None or not method.is_usable(now) or not can_charge(method.gateway):
        raise UnableToOrder("card")
    gateway = gateway_named(method.gateway)
    if quoted.cash.amount < gateway.least:
        raise UnableToOrder("small")
    if quoted.cash.amount > gateway.most:
        raise UnableToOrder("large")
    return method


def _write(customer_id: int, key: str, quoted: Quote, method: PaymentMethod | None, now: datetime) -> Order:
    order = Order.objects.create(
        customer_id=customer_id,
        number="".join(secrets.choice(ALPHABET) for _ in range(NUMBER_LENGTH)),
        key=key,
        total=quoted.total.amount,
        trial=quoted.trial.amount,
        credit=quoted.credit.amount,
        cash=quoted.cash.amount,
        placed_at=now,
    )
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order,
            position=position,
            product=line.product,
            price=line.product.price.amount if line.product.price else 0,
            quantity=line.quantity,
            amount=line.amount.amount,
            trial=line.trial.amount,
            credit=line.credit.amount,
            cash=line.cash.amount,
        )
        for position, line in enumerate(quoted.lines, start=1)
    )
    OrderCoupon.objects.bulk_create(
        OrderCoupon(order=order, coupon=one.coupon, amount=one.pays.amount) for one in quoted.coupons if one.pays
    )
    if method:
        key = f"order:{order.number}"
        Charge.objects.create(order=order, method=method, key=key, amount=order.cash, asked_at=now)
    return order


def _pay(order_id: int, now: datetime) -> Order:
    """Raises UnableToReachGateway where that has not said what it did."""
    charge = Charge.objects.select_related("method", "order__customer").filter(order=order_id).first()
    if charge and charge.state == Charge.State.ASKED and (answer := _ask(charge, now)):
        state, gateway_id = answer
        record_answer(charge_id=charge.pk, state=state, gateway_id=gateway_id, now=now)
    order = conclude_order(order_id=order_id, now=now)
    undoing = Charge.objects.select_related("method").filter(order=order_id, state=Charge.State.UNDOING).first()
    if undoing:
        _undo(undoing, now)
    return order


def _ask(charge: Charge, now: datetime) -> Charged | None:
    """Ask the gateway for the charge, and return what became of it; None where it is not made yet, and may be still.

    Only an order that was placed this moment is charged without a look for its charge: after a day a gateway no longer
    knows a key, and would charge again.
    """
    gateway = gateway_named(charge.method.gateway)
    customer = _name_at(gateway, charge)
    is_new, is_old = charge.asked_at == now, now >= charge.asked_at + ASKED_AGAIN_FOR
    try:
        made = None if is_new else gateway.find_charge(customer=customer, key=charge.key, since=charge.asked_at)
        if made is None and not is_old and _is_wanted(charge):
            number = charge.order.number
            made = gateway.charge(
                customer=customer, token=charge.method.token, amount=charge.amount, key=charge.key, description=number
            )
    except UnableToCharge as refusal:
        return (Charge.State.DECLINED if refusal.code == "declined" else Charge.State.NOT_MADE), ""
    if made:
        return Charge.State.MADE, made
    return (Charge.State.NOT_MADE, "") if is_old else None


def _is_wanted(charge: Charge) -> bool:
    """Whether it may be asked for: not from a card that was taken off file or is none, nor of somebody who has gone."""
    is_chargeable = charge.method.removed_at is None and can_charge(charge.method.gateway)
    return is_chargeable and charge.order.customer.closed_at is None


def _name_at(gateway: Gateway, charge: Charge) -> str:
    """The name that the customer had there when they were charged: a later one has other charges."""
    names = GatewayCustomer.objects.filter(customer=charge.order.customer, gateway=gateway.name).order_by("pk")
    name = names.filter(opened_at__lte=charge.asked_at).last() or names.first()
    return name.token if name else ""


def _undo(charge: Charge, now: datetime) -> None:
    gateway = gateway_named(charge.method.gateway)
    try:
        gateway.refund(charge_id=charge.gateway_id, amount=charge.amount, key=f"undo:{charge.key}")
    except UnableToRefund:
        logger.error("%s does not give charge %s back: staff must", gateway.name, charge.key)
        return
    record_undone(charge_id=charge.pk, now=now)


def _unfinished(now: datetime) -> list[int]:
    """The orders to pay or undo, in no order: one that always fails is not always the first."""
    placed = Order.objects.unfinished().placed_before(now - IN_PEACE_FOR).order_by("placed_at")
    undoing = Charge.objects.filter(state=Charge.State.UNDOING).order_by("pk")
    ids = list(placed.values_list("pk", flat=True)[:MOST_AT_ONCE])
    ids += undoing.values_list("order_id", flat=True)[:MOST_AT_ONCE]
    shuffle(ids)
    return ids


def _lock(order_id: int) -> Order:
    return Order.objects.select_for_update(no_key=True, of=("self",)).select_related("customer").get(pk=order_id)


def _redeem(order: Order, now: datetime) -> None:
    """Redeem what was to be used of each coupon, as of when the order was placed."""
    parts = list(OrderCoupon.objects.filter(order=order).order_by("pk").values_list("coupon__kind", "coupon", "amount"))
    for is_trial, redemption_id in ((True, f"{order.number}-trial"), (False, order.number)):
        chosen = [
            CouponPart(coupon, amount) for kind, coupon, amount in parts if (kind == CouponKind.TRIAL) == is_trial
        ]
        if chosen:
            redeem_parts(
                source=SOURCE,
                redemption_id=redemption_id,
                customer_id=order.customer_id,
                parts=chosen,
                occurred_at=order.placed_at,
                now=now,
            )


def _record_spend(order: Order, now: datetime) -> None:
    """Record the cash part of each line, which is what counts as spend (TERMS: What counts as spend)."""
    lines = OrderLine.objects.filter(order=order, cash__gt=0).select_related("product")
    facts = [
        SpendFact(
            line=line.position,
            event_id=f"{order.number}-{line.position}",
            account_id=order.customer.account_id,
            type="payment",
            product=line.product.code,
            currency="USD",
            amount=str(line.cash.amount),
            occurred_at=order.placed_at.isoformat(),
            payment_id="",
        )
        for line in lines
    ]
    if facts:
        receipt = record_spend(source=SOURCE, facts=facts, now=now)
        if receipt.tally.accepted != len(facts):
            codes = [refusal.code for refusal in receipt.refusals]
            raise UnableToFinish(f"The spend of order {order.number} does not go in: {codes}")


def _cancel(order: Order, reason: Order.Reason, now: datetime) -> None:
    _end(order, state=Order.State.CANCELLED, reason=reason, cancelled_at=now)


def _end(order: Order, **fields: object) -> None:
    """End an order, once. The caller has locked it."""
    if not Order.objects.unfinished().filter(pk=order.pk).update(**fields):
        raise UnableToFinish(f"Order {order.number} has ended already.")
    for name, value in fields.items():
        setattr(order, name, value)
