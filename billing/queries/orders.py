"""What a customer's Orders page reads: what they ordered here, and the payments that are recorded of them.

Money is in US dollars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import Case, DecimalField, F, OuterRef, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from accounts.keyset import Page, Place, page_of
from billing.models import Order, SpendEvent, SpendType

PAGE_SIZE = 25
ORDERS_PAGE_SIZE = 10
CENT = Decimal("0.01")

PAYMENT_COLUMNS = (
    "payment_id",
    "product",
    "currency",
    "amount",
    "amount_usd",
    "reversed_usd",
    "qualifies",
    "occurred_at",
)


def orders(*, customer_id: int, after: Place | None) -> Page[Order]:
    """Return a page of what the customer ordered here, newest first. One statement."""
    placed = Order.objects.filter(customer=customer_id)
    return page_of(placed, by="placed_at", after=after, size=ORDERS_PAGE_SIZE, newest_first=True)


@dataclass(frozen=True)
class OrdersPage:
    """A page of orders beside a page of payments."""

    orders: Page[Order]
    payments: Page[SpendEvent]


def orders_page(
    *, customer_id: int, orders_after: Place | None, payments_after: Place | None, now: datetime
) -> OrdersPage:
    """Return what the Orders page shows. Two statements."""
    return OrdersPage(
        orders=orders(customer_id=customer_id, after=orders_after),
        payments=payments(customer_id=customer_id, after=payments_after, now=now),
    )


def payments(*, customer_id: int, after: Place | None, now: datetime) -> Page[SpendEvent]:
    """Return a page of the customer's payments, newest first, each with `reversed_in_dollars`. One statement."""
    return page_of(_payments(customer_id, now), by="occurred_at", after=after, size=PAGE_SIZE, newest_first=True).map(
        _with_dollars
    )


def payment_rows(*, customer_id: int, now: datetime) -> Iterator[Sequence[object]]:
    """Return all of the customer's payments as PAYMENT_COLUMNS, oldest first, as Postgres sends them. One statement."""
    rows = _payments(customer_id, now).order_by("occurred_at", "pk")
    return (_payment_row(_with_dollars(payment)) for payment in rows.iterator())


def _payments(customer_id: int, now: datetime) -> QuerySet[SpendEvent]:
    """The payments up to now, each with what was taken back of it in its own currency (TERMS: What counts as spend)."""
    signed = Case(When(type=SpendType.CHARGEBACK_REVERSAL, then=-F("original_amount")), default=F("original_amount"))
    taken_back = (
        SpendEvent.objects.filter(payment=OuterRef("pk"), occurred_at__lte=now)
        .order_by()
        .values("payment")
        .annotate(total=Sum(signed))
    )
    zero = Value(Decimal(0), output_field=DecimalField(max_digits=12, decimal_places=2))
    return (
        SpendEvent.objects.filter(customer=customer_id, type=SpendType.PAYMENT, occurred_at__lte=now)
        .select_related("product")
        .annotate(taken_back=Coalesce(Subquery(taken_back.values("total")), zero))
    )


def _with_dollars(payment: SpendEvent) -> SpendEvent:
    """Set what was taken back in dollars: the amount less the net, and the net at the payment's rate, half up."""
    left = payment.original_amount - payment.taken_back  # type: ignore[attr-defined]
    net = (left * payment.rate).quantize(CENT, rounding=ROUND_HALF_UP)
    payment.reversed_in_dollars = payment.amount.amount - net  # type: ignore[attr-defined]
    return payment


def _payment_row(payment: SpendEvent) -> Sequence[object]:
    assert payment.product
    return (
        payment.event_id,
        payment.product.name,
        payment.original_currency,
        payment.original_amount,
        payment.amount.amount,
        payment.reversed_in_dollars,  # type: ignore[attr-defined]
        "yes" if payment.qualifies else "no",
        payment.occurred_at,
    )
