"""What an order's page and its invoice read. Money is in US dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Sum, Value
from django.db.models.functions import Coalesce
from djmoney.money import Money

from billing.models import Charge, Dispute, Order, OrderCoupon, OrderLine, Refund, RefundLine, Unit
from credits.models import Coupon, CouponEntry, CouponKind

NOTHING = Money(0, "USD")
SOURCE = "console"


class PaidLine(NamedTuple):
    """A line of an order, what its price is for, and what came back of it."""

    line: OrderLine
    unit: str
    refunded: Money


class UsedCoupon(NamedTuple):
    """A coupon that an order uses, how much of it, and what came back to it."""

    coupon: Coupon
    amount: Money
    returned: Money


@dataclass(frozen=True)
class OrderPage:
    """An order as its customer sees it: how it is paid, and what came back of it."""

    order: Order
    lines: Sequence[PaidLine]
    coupons: Sequence[UsedCoupon]
    charge: Charge | None
    refunds: Sequence[Refund]
    """Those that are done, and those on their way."""
    disputes: Sequence[Dispute]

    @property
    def goes_back(self) -> bool:
        """Whether the order was charged and did not come to be paid: then that goes back, or has gone."""
        return self.charge is not None and self.charge.state in (Charge.State.UNDOING, Charge.State.UNDONE)

    @property
    def refunded(self) -> Money:
        """What came back of the whole order."""
        return sum((one.refunded for one in self.lines), NOTHING)

    @property
    def taken_back(self) -> Money:
        """What the customer's bank took back of the cash that was left, and did not return."""
        held = (one.taken for one in self.disputes if one.state != Dispute.State.WON)  # type: ignore[attr-defined]
        return Money(sum(held), "USD")

    @property
    def kept(self) -> Money:
        """What the order cost after all."""
        kept: Money = self.order.total - self.refunded - self.taken_back
        return kept


def order_page(*, customer_id: int, number: str) -> OrderPage:
    """Return an order of the customer's. Seven statements. Raises Order.DoesNotExist."""
    order = Order.objects.select_related("customer", "charge__method").get(customer=customer_id, number=number)
    refunds = order.refunds.exclude(state=Refund.State.FAILED).order_by("pk")
    charge = getattr(order, "charge", None)
    return OrderPage(
        order=order,
        lines=_lines(order),
        coupons=_coupons(order),
        charge=charge,
        refunds=list(refunds),
        disputes=_disputes(order),
    )


def _lines(order: Order) -> list[PaidLine]:
    done = RefundLine.objects.filter(refund__order=order, refund__state=Refund.State.DONE)
    back = dict(done.order_by().values_list("line").annotate(total=Sum("amount")))
    return [
        PaidLine(line, str(Unit(line.product.unit).label) if line.product.unit else "", _money(back, line.pk))
        for line in order.lines.select_related("product").order_by("position")
    ]


def _coupons(order: Order) -> list[UsedCoupon]:
    """The trial first, then credit in the order of use."""
    names = [order.number, f"{order.number}-trial"]
    returns = CouponEntry.objects.filter(
        redemption__source=SOURCE, redemption__redemption_id__in=names, type=CouponEntry.Type.RETURN
    )
    back = dict(returns.order_by().values_list("coupon").annotate(total=Sum("amount")))
    used = OrderCoupon.objects.filter(order=order).select_related("coupon__friend")
    in_order = sorted(used, key=lambda one: _place(one.coupon))
    return [UsedCoupon(one.coupon, one.amount, _money(back, one.coupon_id)) for one in in_order]


def _disputes(order: Order) -> list[Dispute]:
    """Each with `taken`: what it took of the lines. A bank may ask for more than is left after a refund."""
    disputes = Dispute.objects.filter(charge__order=order).order_by("pk")
    return list(disputes.annotate(taken=Coalesce(Sum("lines__amount"), Value(Decimal(0)))))


def _place(coupon: Coupon) -> tuple[object, ...]:
    return coupon.kind != CouponKind.TRIAL, coupon.expires_at, coupon.issued_at, coupon.pk


def _money(amounts: Mapping[int, object], key: int) -> Money:
    return Money(amounts.get(key, 0), "USD")
