"""What an order would cost, and who would pay how much of it: the page before paying and the order itself read this.

Money is in US dollars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from django.db.models import DecimalField, F, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _
from djmoney.money import Money

from billing.models import Order, OrderCoupon, Product
from credits.models import Coupon, CouponKind, CreditAccount
from credits.spreading import Payable, Purse, Spread, spread

CENT = Decimal("0.01")
LIMIT = Decimal(10) ** 10
"""An amount has at most ten digits before the point (TERMS: Facts that are refused)."""
MOST_OF_A_PRODUCT = 2**31 - 1


class UnableToOrder(Exception):
    """Nothing is ordered; `code` is one of `reasons`, which the customer reads, `products` whom it is about."""

    reasons = {
        "account": _("This account cannot order."),
        "key": _("This order cannot be told from others. Begin it anew."),
        "empty": _("Nothing is chosen yet."),
        "product": _("This product cannot be ordered here any more."),
        "quantity": _("Order at least one of a product, in whole units, and no more than an order can hold."),
        "amount": _("This amount is too small or too large for an order."),
        "card": _("There is no usable card as the default payment method for the part in cash."),
        "small": _("The part in cash is too small for a card. Leave a coupon out, or choose more."),
        "large": _("The part in cash is too large for a card. Split the order."),
        "changed": _("Nothing was ordered: a quantity, a price, your credit or card has changed. Look once more."),
    }

    def __init__(self, code: str, products: Sequence[str] = ()) -> None:
        super().__init__(self.reasons[code])
        self.code = code
        self.products = tuple(products)


class Wanted(NamedTuple):
    """How many units of which product, by its code."""

    code: str
    quantity: int


class QuotedLine(NamedTuple):
    """A line: `amount` is the price by the quantity, half up to the cent, and the sum of who pays it."""

    product: Product
    quantity: int
    amount: Money
    trial: Money
    credit: Money
    cash: Money


class QuotedCoupon(NamedTuple):
    """What a usable coupon pays, and what stays on it; one that is left out pays nothing.

    What orders that are being paid are to use of it is not there any more.
    """

    coupon: Coupon
    pays: Money
    stays: Money


@dataclass(frozen=True)
class Quote:
    """What an order would cost now. Coupons stand in their order of use; of frozen credit there are none."""

    lines: list[QuotedLine]
    coupons: list[QuotedCoupon]
    is_frozen: bool

    @property
    def total(self) -> Money:
        return dollars(sum(line.amount.amount for line in self.lines))

    @property
    def trial(self) -> Money:
        return dollars(sum(line.trial.amount for line in self.lines))

    @property
    def credit(self) -> Money:
        return dollars(sum(line.credit.amount for line in self.lines))

    @property
    def cash(self) -> Money:
        return dollars(sum(line.cash.amount for line in self.lines))

    @property
    def seen(self) -> str:
        """What names all that the customer is shown of who pays what: it changes with any of it."""
        lines = [(line.product.code, line.quantity, *line[2:]) for line in self.lines]
        coupons = [(one.coupon.pk, one.pays) for one in self.coupons if one.pays]
        return hashlib.sha256(repr((lines, coupons)).encode()).hexdigest()[:32]


def quote(*, customer_id: int, wanted: Sequence[Wanted], without: Collection[int] = (), now: datetime) -> Quote:
    """Return what an order would cost at `now`, paid without the coupons `without`. Three statements.

    The same product twice is one line. Raises UnableToOrder: empty, product, quantity, amount.
    """
    lines = _priced(_once_each(wanted))
    account = CreditAccount.objects.filter(pk=customer_id).first()
    coupons = list(_coupons(customer_id, now)) if account and account.frozen_at is None else []
    paid = spread(
        lines=[Payable(amount, product.accepts_trial, product.accepts_credit) for product, _, amount in lines],
        purses=[_purse(coupon) for coupon in coupons if coupon.pk not in without],
    )
    return Quote(
        lines=[_line(place, line, paid) for place, line in enumerate(lines)],
        coupons=[_quoted(coupon, paid) for coupon in coupons],
        is_frozen=account is not None and account.frozen_at is not None,
    )


def dollars(amount: Decimal | int) -> Money:
    return Money(Decimal(amount).quantize(CENT), "USD")


def _once_each(wanted: Sequence[Wanted]) -> dict[str, int]:
    """Return how many of each product, in the order in which they first stand."""
    quantities: dict[str, int] = {}
    for code, quantity in wanted:
        quantities[code] = quantities.get(code, 0) + quantity
    if not quantities:
        raise UnableToOrder("empty")
    if wrong := [code for code, quantity in wanted if quantity < 1 or quantities[code] > MOST_OF_A_PRODUCT]:
        raise UnableToOrder("quantity", wrong)
    return quantities


Priced = tuple[Product, int, Decimal]


def _priced(quantities: dict[str, int]) -> list[Priced]:
    found = Product.objects.filter(code__in=[code for code in quantities if "\0" not in code], price__isnull=False)
    products = {product.code: product for product in found}
    if gone := [code for code in quantities if code not in products]:
        raise UnableToOrder("product", gone)
    lines = [(products[code], quantity, _cost(products[code], quantity)) for code, quantity in quantities.items()]
    if wrong := [product.code for product, _, amount in lines if not 0 < amount < LIMIT]:
        raise UnableToOrder("amount", wrong)
    if sum(amount for _, _, amount in lines) >= LIMIT:
        raise UnableToOrder("amount")
    return lines


def _cost(product: Product, quantity: int) -> Decimal:
    assert product.price is not None
    return Decimal(product.price.amount * quantity).quantize(CENT, rounding=ROUND_HALF_UP)


def _coupons(customer_id: int, now: datetime) -> QuerySet[Coupon]:
    """The usable coupons, each with `free`: what orders that are being paid leave of it."""
    held = (
        OrderCoupon.objects.filter(coupon=OuterRef("pk"), order__state=Order.State.PLACED)
        .order_by()
        .values("coupon")
        .annotate(total=Sum("amount"))
    )
    amounts: DecimalField[Decimal, Decimal] = DecimalField(max_digits=12, decimal_places=2)
    free = F("remaining") - Coalesce(Subquery(held.values("total")), Value(Decimal(0)), output_field=amounts)
    usable = Coupon.objects.filter(customer=customer_id).usable_at(now).in_order_of_use()
    return usable.annotate(free=free).filter(free__gt=0)


def _purse(coupon: Coupon) -> Purse:
    return Purse(coupon.pk, coupon.kind == CouponKind.TRIAL, _free(coupon))


def _free(coupon: Coupon) -> Decimal:
    return Decimal(coupon.free)  # type: ignore[attr-defined]


def _line(place: int, line: Priced, paid: Spread) -> QuotedLine:
    product, quantity, amount = line
    trial, credit = paid.trial_of(place), paid.credit_of(place)
    parts = (amount, trial, credit, amount - trial - credit)
    return QuotedLine(product, quantity, *(dollars(part) for part in parts))


def _quoted(coupon: Coupon, paid: Spread) -> QuotedCoupon:
    pays = paid.of_coupon(coupon.pk)
    return QuotedCoupon(coupon, dollars(pays), dollars(_free(coupon) - pays))
