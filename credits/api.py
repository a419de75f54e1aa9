"""The API's doors of credit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import PlainSerializer

from accounts import clock
from accounts.api_door import AccountId, Key, Problem, ProblemOut
from accounts.models import ApiKey
from credits.models import CreditAccount
from credits.queries import credit_of_account

Dollars = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount:.2f}", return_type=str)]
"""US dollars, as a decimal with two places."""

router = Router(tags=["credit"])


class CouponOut(Schema):
    """A coupon that can be used now."""

    coupon_id: int
    kind: str
    amount: Dollars
    remaining: Dollars
    issued_at: datetime
    expires_at: datetime


class DebtOut(Schema):
    """What is set against the next rewards. Nothing of it is charged."""

    kind: str
    amount: Dollars
    outstanding: Dollars
    opened_at: datetime


class CreditOut(Schema):
    """What an account has in US dollars: `usable` is its credit, without the trial."""

    account_id: str
    usable: Dollars
    trial: Dollars
    frozen: bool
    coupons: list[CouponOut]
    debts: list[DebtOut]


@router.get(
    "/accounts/{path:account_id}/credit",
    auth=Key(ApiKey.Scope.CREDIT_READ),
    response={200: CreditOut, (401, 403, 404, 422, 429): ProblemOut},
    summary="What credit an account has",
)
def get_credit(request: HttpRequest, account_id: AccountId) -> CreditOut:
    """Return the usable balance, the usable coupons in their order of use, and the open debts, oldest first."""
    try:
        found = credit_of_account(account_id=account_id, now=clock.now())
    except CreditAccount.DoesNotExist:
        raise Problem(404, "account", "There is no such account.") from None
    return CreditOut(
        account_id=account_id,
        usable=found.usable.amount,
        trial=found.trial.amount,
        frozen=found.is_frozen,
        coupons=[
            CouponOut(
                coupon_id=coupon.pk,
                kind=coupon.kind,
                amount=coupon.amount.amount,
                remaining=coupon.remaining.amount,
                issued_at=coupon.issued_at,
                expires_at=coupon.expires_at,
            )
            for coupon in found.coupons
        ],
        debts=[
            DebtOut(
                kind=debt.kind,
                amount=debt.amount.amount,
                outstanding=debt.outstanding.amount,
                opened_at=debt.opened_at,
            )
            for debt in found.debts
        ],
    )
