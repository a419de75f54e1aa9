"""Charges that the cardholder's bank takes back, and gives back where the dispute is won, as the gateway tells them.

How a dispute stands, the gateway is asked each time; so its events may come twice, late and in any order.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from billing.gateways import ToldDispute
from billing.models import Charge, Dispute, DisputeLine, Order, Refund, SpendType
from billing.operations.order_reversals import Reversed, record_reversals
from billing.operations.orders import pay_order
from billing.operations.refunds import finish_refunds_of, lock_order
from billing.proportions import divide
from billing.queries.refunds import lines_left

logger = logging.getLogger(__name__)


class UnableToRecordDispute(Exception):
    """The order is not paid yet, or a refund of it has not ended: the gateway is to tell again later (`unfinished`)."""

    code = "unfinished"


def finish_what_is_disputed(*, gateway: str, told: ToldDispute, now: datetime) -> None:
    """Finish the payment and the refund that the disputed charge is in, so that what is left of it is known.

    Outside any transaction. Nothing for a charge that is not ours, and where all that has ended.
    """
    charge = charge_of(gateway, told)
    if charge is None:
        return
    if charge.order.state == Order.State.PLACED:
        pay_order(order_id=charge.order_id, now=now)
    finish_refunds_of(order_id=charge.order_id, now=now)


def record_dispute(*, gateway: str, told: ToldDispute, now: datetime) -> Dispute | None:
    """Record how a dispute stands; return it, or None where its charge is not ours.

    Open or lost, the cash of the lines is charged back, as much of it as is left; won, that is reversed. What the
    gateway said before is known, and an answer that has been overtaken by a later one changes nothing. Locks the Order,
    then the spend events' keys; `record_news`, which calls this, begins anew where that is undone. Raises
    UnableToRecordDispute.
    """
    charge = charge_of(gateway, told)
    if charge is None:
        return None
    with transaction.atomic():
        # A payment, a refund or another event about this dispute at once would reckon with what is left before us.
        order = lock_order(charge.order_id)
        if order.state == Order.State.PLACED or order.refunds.filter(state=Refund.State.ASKED).exists():
            raise UnableToRecordDispute
        dispute, is_new = Dispute.objects.get_or_create(
            dispute_id=told.dispute_id,
            defaults={
                "charge": charge,
                "amount": told.amount,
                "state": told.state,
                "opened_at": now,
                "ended_at": None if told.state == Dispute.State.OPEN else now,
            },
        )
        if is_new:
            _take_back(order, dispute, now)
        elif told.state in _LATER[Dispute.State(dispute.state)]:
            _move(order, dispute, Dispute.State(told.state), now)
        elif told.state != dispute.state:
            logger.warning("Dispute %s is %s, and not %s again.", dispute, dispute.state, told.state)
        return dispute


# A dispute that was won stays won: an answer that says otherwise was given earlier, and has been overtaken.
_LATER = {
    Dispute.State.OPEN: {Dispute.State.WON, Dispute.State.LOST},
    Dispute.State.LOST: {Dispute.State.WON},
    Dispute.State.WON: set(),
}


def charge_of(gateway: str, told: ToldDispute) -> Charge | None:
    """Return our charge that is disputed, by the names that the gateway gives it, or by our own key."""
    ours = Q(gateway_id__in=[name for name in told.charge_ids if name]) | Q(key=told.key)
    charges = Charge.objects.filter(ours, method__gateway=gateway)
    return charges.select_related("order").order_by("pk").first()


def _take_back(order: Order, dispute: Dispute, now: datetime) -> None:
    """Spread a new dispute over the cash that is left of the lines, and charge it back unless it is won already."""
    if dispute.state == Dispute.State.WON or order.state != Order.State.PAID:
        return
    left = [line for line in lines_left(order_id=order.pk) if line.cash_left]
    amount = min(dispute.amount.amount, sum((line.cash_left for line in left), Decimal(0)))
    parts = divide(amount, over=[line.cash_left for line in left])
    lines = [
        DisputeLine(dispute=dispute, line_id=line.line_id, amount=part)
        for line, part in zip(left, parts, strict=True)
        if part
    ]
    DisputeLine.objects.bulk_create(lines)
    record_reversals(order=order, kind=SpendType.CHARGEBACK, lines=_reversed(dispute, "chargeback"), at=now, now=now)


def _move(order: Order, dispute: Dispute, state: Dispute.State, now: datetime) -> None:
    """Bring a known dispute to a later state; won, what was charged back comes back."""
    moved = Dispute.objects.filter(pk=dispute.pk, state=dispute.state).update(state=state, ended_at=now)
    if moved and state == Dispute.State.WON:
        record_reversals(
            order=order,
            kind=SpendType.CHARGEBACK_REVERSAL,
            lines=_reversed(dispute, "chargeback-reversal"),
            at=now,
            now=now,
        )
    dispute.state, dispute.ended_at = state, now


def _reversed(dispute: Dispute, name: str) -> Sequence[Reversed]:
    lines = dispute.lines.select_related("line").order_by("line__position")
    return [Reversed(line.line.position, line.amount.amount, f"{name}-{dispute.pk}") for line in lines]
