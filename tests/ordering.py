"""Orders of a customer with a card, through the operations that the checkout calls."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.models import User
from billing.gateways import Card
from billing.models import Order, PaymentMethod, Product, SandboxCharge, SpendEvent
from billing.operations import add_card, check_out
from billing.queries.checkout import Quote, Wanted, quote
from credits.models import Coupon
from credits.operations import CouponPart, NewCoupon, issue_coupons, redeem_parts
from tests.facts import JANUARY, NOW, day

ISSUED, EXPIRES = day(10, 1), day(12, 1)


def give_card(user: User, outcome: str = "accepted", *, token: str = "") -> PaymentMethod:
    """Put a card of the sandbox on file that is charged with this outcome."""
    name = token or f"sandbox-{outcome}-{user.account_id}"
    card = Card(name, "visa", "4242", 12, 2030, f"of {user.account_id}")
    return add_card(customer_id=user.pk, gateway="sandbox", card=card, now=NOW)


def give_credit(user: User, amount: str, *, expires_at: datetime = EXPIRES, kind: str = "goodwill") -> Coupon:
    """Issue a coupon, of credit as staff do by default."""
    source = f"{user.account_id}:{Coupon.objects.count()}"
    new = NewCoupon(user.pk, kind, None, source, amount, ISSUED, expires_at)  # type: ignore[arg-type]
    issue_coupons(coupons=[new], now=NOW)
    return Coupon.objects.get(source=source)


def wanted(**quantities: int) -> list[Wanted]:
    """So many of each product; a `_` stands for the `-` in its code."""
    return [Wanted(code.replace("_", "-"), quantity) for code, quantity in quantities.items()]


def quoted(user: User, *, without: Collection[int] = (), at: datetime = NOW, **quantities: int) -> Quote:
    return quote(customer_id=user.pk, wanted=wanted(**quantities), without=without, now=at)


def terms_of(
    user: User, *, key: str = "a-button", without: Collection[int] = (), at: datetime = NOW, **quantities: int
) -> Any:
    """What `check_out` is told of an order that the customer has just been shown."""
    seen = quoted(user, without=without, at=at, **quantities).seen
    chosen = wanted(**quantities)
    return {"customer_id": user.pk, "key": key, "wanted": chosen, "without": without, "seen": seen, "now": at}


def buy(
    user: User, *, key: str = "a-button", without: Collection[int] = (), at: datetime = NOW, **quantities: int
) -> Order:
    """Order what the customer has just been shown."""
    return check_out(**terms_of(user, key=key, without=without, at=at, **quantities))


def parts_of(order: Order) -> list[tuple[str, str, str, str]]:
    """Return code, trial, credit and cash of each line."""
    rows = order.lines.values_list("product__code", "trial", "credit", "cash")
    return [(code, *(str(part) for part in parts)) for code, *parts in rows]  # type: ignore[misc]


def left_on(*coupons: Coupon) -> list[str]:
    """Return what remains on each coupon."""
    return [str(Coupon.objects.get(pk=coupon.pk).remaining.amount) for coupon in coupons]


def taken_by(user: User) -> list[tuple[str, str]]:
    """Return what the sandbox has taken from a customer's cards, less what it gave back, by the charge's key."""
    tokens = PaymentMethod.objects.filter(customer=user).values("token")
    charges = SandboxCharge.objects.filter(token__in=tokens, outcome="made").order_by("pk")
    return [(charge.key, str((charge.amount - charge.refunded).amount)) for charge in charges]


def spend_of(user: User) -> list[tuple[str, str]]:
    """Return product and amount of each payment that is recorded of a customer."""
    events = SpendEvent.objects.filter(customer=user, type="payment").order_by("pk")
    return [(code, str(amount)) for code, amount in events.values_list("product__code", "amount")]


def trial_of(user: User) -> int:
    """Return the id of the customer's trial."""
    return Coupon.objects.get(customer=user.pk, kind="trial").pk


def use_trial_up(user: User) -> None:
    """Leave nothing of a trial of $300."""
    redeem_parts(
        source="console",
        redemption_id=f"{user.account_id}-trial",
        customer_id=user.pk,
        parts=[CouponPart(trial_of(user), Decimal(300))],
        occurred_at=JANUARY,
        now=NOW,
    )


def price(code: str, amount: str) -> None:
    """Let a unit of a product cost so much."""
    Product.objects.filter(code=code).update(price=Decimal(amount))
