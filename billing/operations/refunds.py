"""What staff give back of a paid order, whole or by line and part.

Two transactions, and the gateway between them, outside of both: in the first the refund stands with its parts, ASKED;
then the gateway gives the cash back under a key of ours; in the second credit and trial return and the facts about
spend are recorded. Killed anywhere between, `finish_refunds` goes on from what the database says: with the same key the
gateway gives back once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.operations import POISON
from accounts.retries import retried
from billing.gateways import UnableToReachGateway, gateway_named
from billing.gateways import UnableToRefund as GatewayRefusal
from billing.models import Order, Refund, RefundLine, SpendType
from billing.operations.order_reversals import SOURCE, Reversed, UnableToRecordReversal, record_reversals
from billing.queries.refunds import lines_left
from billing.refunding import PlannedRefund, UnableToRefund, Wanted, check_form, plan
from credits.operations import UnableToGiveBack, give_back

logger = logging.getLogger(__name__)


def refund_order(
    *, order_id: int, key: str, lines: Sequence[Wanted] | None, actor: User, reason: str, now: datetime
) -> Refund:
    """Give back what is left of a paid order, or of each line named an amount in US dollars; return the Refund.

    It is DONE; or FAILED, where the gateway refused; or ASKED, where the gateway did not answer and is asked again by
    `finish_refunds`. The same key again answers the same. Locks the Order, then the CreditAccount. Raises
    UnableToRefund.
    """
    finish_refunds_of(order_id=order_id, now=now)
    asked = ask_refund(order_id=order_id, key=key, lines=lines, actor=actor, reason=reason, now=now)
    return finish_refund(refund_id=asked.pk, now=now)


def finish_refunds_of(*, order_id: int, now: datetime) -> bool:
    """Go on with the order's refund whose end is not known, if there is one; return whether none is left."""
    asked = Refund.objects.filter(order=order_id, state=Refund.State.ASKED).values_list("pk", flat=True)
    return all(finish_refund(refund_id=refund_id, now=now).state != Refund.State.ASKED for refund_id in list(asked))


def finish_refunds(*, now: datetime) -> int:
    """Go on with every refund whose end is not known; return how many have ended now.

    One that fails is logged, and holds up no other.
    """
    ended = 0
    asked = Refund.objects.filter(state=Refund.State.ASKED).order_by("asked_at", "pk").values_list("pk", flat=True)
    for refund_id in list(asked):
        try:
            ended += finish_refund(refund_id=refund_id, now=now).state != Refund.State.ASKED
        except (UnableToGiveBack, UnableToRecordReversal, *POISON):
            logger.exception("Refund %s cannot be finished", refund_id)
    return ended


def finish_refund(*, refund_id: int, now: datetime) -> Refund:
    """Have the gateway give the cash back, once, and record how that ended; nothing where it has ended before.

    Outside any transaction. A gateway that does not answer leaves the refund ASKED.
    """
    refund = Refund.objects.select_related("order").get(pk=refund_id)
    if refund.state != Refund.State.ASKED:
        return refund
    try:
        gateway_id = _give_cash_back(refund)
    except UnableToReachGateway:
        return refund
    except GatewayRefusal:
        return fail_refund(refund_id=refund_id, now=now)
    return record_refund(refund_id=refund_id, gateway_id=gateway_id, now=now)


@retried
def ask_refund(
    *, order_id: int, key: str, lines: Sequence[Wanted] | None, actor: User, reason: str, now: datetime
) -> Refund:
    """Record what is to come back, with its parts, before any gateway is asked. Locks the Order.

    The parts are the proportion in which each line was paid (docs/architecture.md: Refunds). Raises UnableToRefund.
    """
    with transaction.atomic():
        # Two refunds at once, or a refund and a dispute, would both give back what is left: read it under the lock.
        order = lock_order(order_id)
        if known := Refund.objects.filter(key=key).first():
            return _same(known, order_id, lines)
        if order.state != Order.State.PAID:
            raise UnableToRefund("state")
        if Refund.objects.filter(order=order, state=Refund.State.ASKED).exists():
            # What comes back next depends on whether that one does.
            raise UnableToRefund("pending")
        planned = plan(lefts=lines_left(order_id=order_id), wanted=lines)
        try:
            with transaction.atomic():
                refund = _create(order, key, planned, actor, reason, now)
        except IntegrityError as fault:
            # Another order's refund has this key.
            raise UnableToRefund("conflict") from fault
        _create_lines(refund, planned)
        return refund


@retried
def record_refund(*, refund_id: int, gateway_id: str, now: datetime) -> Refund:
    """Record that the cash is back; with it credit and trial return to their coupons, and spend is reversed.

    Once: the conditional UPDATE decides. Locks the Order, then the CreditAccount, then the spend events' keys.
    """
    with transaction.atomic():
        refund, is_first = _end(refund_id, Refund.State.DONE, now, gateway_id=gateway_id)
        if is_first:
            _return_credit(refund, now)
            record_reversals(
                order=refund.order, kind=SpendType.REFUND, lines=_reversed(refund), at=_at(refund, now), now=now
            )
        return refund


@retried
def fail_refund(*, refund_id: int, now: datetime) -> Refund:
    """Record that the gateway refused: what was to come back is left as it was. Locks the Order."""
    with transaction.atomic():
        refund, _ = _end(refund_id, Refund.State.FAILED, now)
        return refund


def lock_order(order_id: int) -> Order:
    """Lock an order, and return it as it stands then, with its customer. Raises UnableToRefund: unknown."""
    orders = Order.objects.select_related("customer").filter(pk=order_id)
    order = orders.select_for_update(no_key=True, of=("self",)).first()
    if order is None:
        raise UnableToRefund("unknown")
    return order


def _same(known: Refund, order_id: int, lines: Sequence[Wanted] | None) -> Refund:
    """Return the refund that the key has made, if it is the one that is asked for."""
    if known.order_id != order_id:
        raise UnableToRefund("conflict")
    if lines is not None:
        content = [(line.line.position, line.amount.amount) for line in known.lines.select_related("line")]
        check_form(lines, known=[position for position, _ in lines])
        if sorted(content) != sorted(lines):
            raise UnableToRefund("conflict")
    return known


def _create(order: Order, key: str, planned: PlannedRefund, actor: User, reason: str, now: datetime) -> Refund:
    parts = planned.parts
    return Refund.objects.create(
        order=order,
        key=key,
        amount=parts.total,
        cash=parts.cash,
        credit=parts.credit,
        trial=parts.trial,
        actor=actor,
        reason=reason,
        asked_at=now,
    )


def _create_lines(refund: Refund, planned: PlannedRefund) -> None:
    RefundLine.objects.bulk_create(
        RefundLine(
            refund=refund,
            line_id=line.left.line_id,
            amount=line.parts.total,
            cash=line.parts.cash,
            credit=line.parts.credit,
            trial=line.parts.trial,
        )
        for line in planned.lines
    )


def _give_cash_back(refund: Refund) -> str:
    """Ask the gateway that took the cash, under the refund's own key; return what it calls the refund."""
    if not refund.cash:
        return ""
    charge = refund.order.charge
    return gateway_named(charge.method.gateway).refund(
        charge_id=charge.gateway_id, amount=refund.cash, key=f"refund-{refund.order.number}-{refund.pk}"
    )


def _end(refund_id: int, state: Refund.State, now: datetime, **told: str) -> tuple[Refund, bool]:
    """End a refund, and return it with its locked order, and whether this has ended it."""
    order = lock_order(Refund.objects.values_list("order_id", flat=True).get(pk=refund_id))
    asked = Refund.objects.filter(pk=refund_id, state=Refund.State.ASKED)
    ended = asked.update(state=state, ended_at=now, **told)
    refund = Refund.objects.get(pk=refund_id)
    refund.order = order
    return refund, bool(ended)


def _at(refund: Refund, now: datetime) -> datetime:
    """When it took effect: not before what it takes back, though a clock were set back in between."""
    return max(now, refund.order.paid_at or now)


def _return_credit(refund: Refund, now: datetime) -> None:
    """Give credit and trial back to the coupons that the order used (TERMS: Credit)."""
    number = refund.order.number
    for redemption_id, amount in ((number, refund.credit), (f"{number}-trial", refund.trial)):
        if amount:
            give_back(
                source=SOURCE,
                redemption_id=redemption_id,
                return_id=f"{number}-refund-{refund.pk}",
                amount=amount,
                occurred_at=_at(refund, now),
                now=now,
            )


def _reversed(refund: Refund) -> list[Reversed]:
    """The cash of each line that came back."""
    lines = refund.lines.select_related("line").order_by("line__position")
    return [Reversed(line.line.position, line.cash.amount, f"refund-{refund.pk}") for line in lines if line.cash]
