"""What a friend does in the demo at the press of a button: spend, and get it back."""

import secrets
from datetime import datetime
from decimal import Decimal

from accounts.models import User
from billing.operations import SpendFact, record_spend
from referral_site.demo.queries import last_purchase

PURCHASE = Decimal("25.00")


class UnableToBuy(Exception):
    """The purchase was refused; `code` is that of TERMS "Facts that are refused"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnableToRefund(Exception):
    """There is no purchase with anything left to refund (`nothing`)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def buy(*, friend: User, now: datetime) -> None:
    """Let the friend pay $25 in cash for ECS, as an order at the console would. Raises UnableToBuy."""
    fact = SpendFact(
        line=1,
        event_id=f"order-{secrets.token_hex(8)}",
        account_id=friend.account_id,
        type="payment",
        product="ecs",
        currency="USD",
        amount=str(PURCHASE),
        occurred_at=now.isoformat(),
        payment_id="",
    )
    receipt = record_spend(source="console", facts=[fact], now=now)
    if receipt.refusals:
        raise UnableToBuy(receipt.refusals[0].code)


def refund_last_purchase(*, friend: User, now: datetime) -> Decimal:
    """Refund what is left of the friend's latest qualifying purchase; return it in dollars. Raises UnableToRefund."""
    purchase = last_purchase(customer_id=friend.pk)
    if purchase is None:
        raise UnableToRefund("nothing")
    fact = SpendFact(
        line=1,
        event_id=f"refund-{secrets.token_hex(8)}",
        account_id=purchase.account_id,
        type="refund",
        product="",
        currency="USD",
        amount=str(purchase.left),
        occurred_at=now.isoformat(),
        payment_id=purchase.event_id,
    )
    receipt = record_spend(source=purchase.source, facts=[fact], now=now)
    if receipt.refusals:  # somebody else was faster
        raise UnableToRefund("nothing")
    return purchase.left
