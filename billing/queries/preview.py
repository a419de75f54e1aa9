"""What the checkout's page reads before anything is paid: who would pay what, and what would become of the credit.

Money is in US dollars. Who pays what is `quote`'s, by which the order itself is placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import TextChoices
from djmoney.money import Money

from billing.basket import Basket
from billing.models import Order, Product, Unit
from billing.payment_queries import MethodOnFile, default_card
from billing.queries.checkout import Quote, QuotedLine, UnableToOrder, Wanted, quote
from credits.forecast import LOOKED_BACK, Left, expiring
from credits.models import Coupon, CouponKind
from credits.queries import used_before

NOTHING = Money(0, "USD")
MOST_SHOWN = 10
"""Coupons that are shown though they are not needed; those that pay or are left out are shown all."""


class Why(TextChoices):
    """Why money pays for something, or all, of a line."""

    OFFER = "offer"
    PRODUCT = "product"
    FROZEN = "frozen"
    LEFT_OUT = "left_out"
    USED_UP = "used_up"


class Refusal(NamedTuple):
    """Why these products (all that is chosen, if none is named) cannot be ordered."""

    reason: str
    products: Sequence[str]


class Line(NamedTuple):
    """A line to order, who would pay how much of it, and why money pays for any of it."""

    product: Product
    unit: str
    quantity: int
    amount: Money
    trial: Money
    credit: Money
    cash: Money
    why: Why | None


class Share(NamedTuple):
    """A usable coupon: whether it may pay, what it would pay, what would stay, what of that will likely expire."""

    coupon: Coupon
    is_used: bool
    pays: Money
    stays: Money
    will_expire: Money

    @property
    def left(self) -> Money:
        """What is on it, but for what orders that are being paid are to use."""
        return self.pays + self.stays


@dataclass(frozen=True)
class Preview:
    """What would be ordered and how it would be paid.

    `refusals` are why some of what was chosen, or all, cannot be ordered; `placed` is the order that its key is of
    already; `seen` names all that is shown, and goes with the button that pays.
    """

    basket: Basket
    refusals: Sequence[Refusal]
    seen: str
    lines: Sequence[Line]
    shares: Sequence[Share]
    used: Mapping[bool, Decimal]
    is_frozen: bool
    card: MethodOnFile | None
    placed: Order | None

    @property
    def trial(self) -> Money:
        return sum((line.trial for line in self.lines), NOTHING)

    @property
    def credit(self) -> Money:
        return sum((line.credit for line in self.lines), NOTHING)

    @property
    def cash(self) -> Money:
        return sum((line.cash for line in self.lines), NOTHING)

    @property
    def total(self) -> Money:
        return self.trial + self.credit + self.cash

    @property
    def lacks_a_card(self) -> bool:
        """Whether there is a part in money, and nothing to charge it to."""
        return bool(self.cash) and self.card is None

    @property
    def coupons(self) -> Sequence[Share]:
        """The coupons that the page shows, in their order of use."""
        hidden = {share.coupon.pk for share in self.further.shares}
        return [share for share in self.shares if share.coupon.pk not in hidden]

    @property
    def further(self) -> Further:
        """Those that it does not: the last of those that are not needed."""
        unneeded = [share for share in self.shares if share.is_used and not share.pays]
        return Further(unneeded[MOST_SHOWN:])

    @property
    def used_credit(self) -> Decimal:
        """What of credit was used in the days that the forecast looks back."""
        return self.used[False]

    @property
    def used_trial(self) -> Decimal:
        """The same of the trial."""
        return self.used[True]

    @property
    def looked_back(self) -> int:
        """How many days the forecast looks back."""
        return LOOKED_BACK.days


class Further(NamedTuple):
    """Coupons that are not shown one by one."""

    shares: Sequence[Share]

    @property
    def number(self) -> int:
        return len(self.shares)

    @property
    def stays(self) -> Money:
        return sum((share.stays for share in self.shares), NOTHING)

    @property
    def will_expire(self) -> Money:
        return sum((share.will_expire for share in self.shares), NOTHING)


def preview(*, customer_id: int, basket: Basket, now: datetime) -> Preview:
    """Return what would come of ordering a basket now, without what cannot be ordered.

    Six statements, and three more for each reason why something cannot be ordered, of which there are two.
    """
    quoted, refusals = _quote(customer_id, basket, now)
    used = used_before(customer_id=customer_id, now=now)
    return Preview(
        basket=basket,
        refusals=refusals,
        seen=quoted.seen,
        lines=[_line(line, quoted, basket) for line in quoted.lines],
        shares=_shares(quoted, basket, used, now),
        used=used,
        is_frozen=quoted.is_frozen,
        card=default_card(customer_id=customer_id, now=now),
        placed=Order.objects.filter(customer=customer_id, key=basket.key).first(),
    )


def _quote(customer_id: int, basket: Basket, now: datetime) -> tuple[Quote, list[Refusal]]:
    refusals: list[Refusal] = []
    while basket.items:
        wanted = [Wanted(code, quantity) for code, quantity in basket.items]
        try:
            quoted = quote(customer_id=customer_id, wanted=wanted, without=basket.without, now=now)
        except UnableToOrder as refusal:
            refusals.append(Refusal(str(refusal), refusal.products))
            basket = basket.but_for(refusal.products or basket.quantities)
        else:
            return quoted, refusals
    return Quote(lines=[], coupons=[], is_frozen=False), refusals


def _line(line: QuotedLine, quoted: Quote, basket: Basket) -> Line:
    why = _why(line, quoted, basket) if line.cash else None
    unit = str(Unit(line.product.unit).label)
    return Line(line.product, unit, line.quantity, line.amount, line.trial, line.credit, line.cash, why)


def _why(line: QuotedLine, quoted: Quote, basket: Basket) -> Why:
    if line.product.family == Product.Family.SPECIAL_OFFER:
        return Why.OFFER
    if not line.product.accepts_credit:
        return Why.PRODUCT
    if quoted.is_frozen:
        return Why.FROZEN
    could = [one.coupon for one in quoted.coupons if one.coupon.pk in basket.without]
    if any(coupon.kind != CouponKind.TRIAL or line.product.accepts_trial for coupon in could):
        return Why.LEFT_OUT
    return Why.USED_UP


def _shares(quoted: Quote, basket: Basket, used: Mapping[bool, Decimal], now: datetime) -> list[Share]:
    lost: dict[int, Decimal] = {}
    for is_trial in (False, True):
        kept = [
            Left(one.coupon.pk, one.stays.amount, one.coupon.expires_at)
            for one in quoted.coupons
            if (one.coupon.kind == CouponKind.TRIAL) == is_trial
        ]
        lost |= expiring(left=kept, used=used[is_trial], now=now)
    return [
        Share(
            coupon=one.coupon,
            is_used=one.coupon.pk not in basket.without,
            pays=one.pays,
            stays=one.stays,
            will_expire=Money(lost.get(one.coupon.pk, 0), "USD"),
        )
        for one in quoted.coupons
    ]
