"""What of an order has come back, and what can come back still."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from django.db.models import DecimalField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from billing.models import Dispute, DisputeLine, Order, OrderLine, Refund, RefundLine
from billing.proportions import Parts
from billing.refunding import LineLeft, PlannedRefund, UnableToRefund, Wanted, plan


def lines_left(*, order_id: int) -> list[LineLeft]:
    """Return the lines of an order with what is left of each, as they stand. One statement."""
    came_back = RefundLine.objects.filter(line=OuterRef("pk")).exclude(refund__state=Refund.State.FAILED)
    taken_back = DisputeLine.objects.filter(line=OuterRef("pk")).exclude(dispute__state=Dispute.State.WON)
    lines = (
        OrderLine.objects.filter(order=order_id)
        .select_related("product")
        .annotate(refunded=_sum(came_back), disputed=_sum(taken_back))
        .order_by("position")
    )
    return [_left(line) for line in lines]


def refund_preview(*, order_id: int, wanted: Sequence[Wanted] | None) -> PlannedRefund:
    """Return what a refund would come to now. Raises UnableToRefund: unknown, state, line, amount, exceeds."""
    state = Order.objects.filter(pk=order_id).values_list("state", flat=True).first()
    if state is None:
        raise UnableToRefund("unknown")
    if state != Order.State.PAID:
        raise UnableToRefund("state")
    return plan(lefts=lines_left(order_id=order_id), wanted=wanted)


def _sum(rows: QuerySet[RefundLine] | QuerySet[DisputeLine]) -> Coalesce:
    """The amounts of the rows that belong to a line."""
    total = rows.order_by().values("line").annotate(total=Sum("amount")).values("total")
    zero = Value(Decimal(0), output_field=DecimalField(max_digits=12, decimal_places=2))
    return Coalesce(Subquery(total), zero)


def _left(line: OrderLine) -> LineLeft:
    return LineLeft(
        line_id=line.pk,
        position=line.position,
        name=line.product.name,
        paid=Parts(line.cash.amount, line.credit.amount, line.trial.amount),
        refunded=line.refunded,  # type: ignore[attr-defined]
        disputed=line.disputed,  # type: ignore[attr-defined]
    )
