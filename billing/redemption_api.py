"""The API's doors of paying with credit: redemptions by lines, and what of them is given back."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest
from ninja import Path, Router, Schema
from pydantic import ConfigDict, Field, StrictBool

from accounts import clock
from accounts.api_door import Key, Problem, ProblemOut
from accounts.models import ApiKey
from billing.api import SOURCE, Cell
from billing.operations import LineFact, preview_purchase, redeem_purchase, return_of_purchase
from credits.api import Dollars
from credits.operations import GivenBack, PaidPurchase, UnableToGiveBack, UnableToRedeem

MOST_LINES = 1000

router = Router(tags=["redemptions"])
redeem_credit = Key(ApiKey.Scope.CREDIT_REDEEM)


class LineIn(Schema):
    """A line of the purchase, as the customer would pay it without credit."""

    model_config = ConfigDict(extra="forbid")

    product: Cell = Field(examples=["ecs"])
    amount: Cell = Field(examples=["12.50"], description="US dollars")


class RedemptionIn(Schema):
    """A purchase, and whether it is only asked what credit would pay."""

    model_config = ConfigDict(extra="forbid")

    redemption_id: Cell = Field(examples=["order-2026-000123"])
    account_id: Cell = Field(examples=["acct-7"])
    lines: list[LineIn] = Field(min_length=1, max_length=MOST_LINES)
    preview: StrictBool = Field(False, description="true: nothing is redeemed")


class CouponPartOut(Schema):
    """What a coupon pays, or gets back."""

    coupon_id: int = Field(examples=[17])
    amount: Dollars = Field(examples=["10.00"])


class LineOut(Schema):
    """Who pays a line: amount = credit + cash."""

    product: str = Field(examples=["ecs"])
    amount: Dollars = Field(examples=["12.50"])
    accepts_credit: bool
    credit: Dollars = Field(examples=["10.00"])
    cash: Dollars = Field(examples=["2.50"])
    coupons: list[CouponPartOut]


class CouponUsedOut(Schema):
    """A coupon that pays, in the order of use, and what is left on it afterwards."""

    coupon_id: int = Field(examples=[17])
    kind: str = Field(examples=["payout"])
    amount: Dollars = Field(examples=["10.00"])
    remaining: Dollars = Field(examples=["0.00"])
    expires_at: datetime


class RedemptionOut(Schema):
    """What credit pays: amount = credit + cash, in all and for each line. `occurred_at` is null after a preview."""

    redemption_id: str = Field(examples=["order-2026-000123"])
    account_id: str = Field(examples=["acct-7"])
    recorded: bool = Field(description="whether it is redeemed; false after a preview")
    occurred_at: datetime | None
    amount: Dollars = Field(examples=["12.50"])
    credit: Dollars = Field(examples=["10.00"])
    cash: Dollars = Field(examples=["2.50"])
    lines: list[LineOut]
    coupons: list[CouponUsedOut]


class ReturnIn(Schema):
    """How much of a redemption comes back."""

    model_config = ConfigDict(extra="forbid")

    return_id: Cell = Field(examples=["refund-1"])
    amount: Cell = Field(examples=["4.00"], description="US dollars, of what credit has paid")


class ReturnOut(Schema):
    """What came back to which coupon. What of it expired or was revoked at once, the coupon's entries say."""

    redemption_id: str = Field(examples=["order-2026-000123"])
    return_id: str = Field(examples=["refund-1"])
    amount: Dollars = Field(examples=["4.00"])
    left: Dollars = Field(examples=["6.00"], description="what could still come back, after this return")
    occurred_at: datetime
    coupons: list[CouponPartOut]


@router.post(
    "/redemptions",
    auth=redeem_credit,
    response={200: RedemptionOut, (400, 401, 403, 409, 413, 422, 429): ProblemOut},
    summary="Pay a purchase with credit, as far as it goes",
)
def post_redemption(request: HttpRequest, purchase: RedemptionIn) -> RedemptionOut:
    """Pay the lines in their order with the coupons in their order of use; the trial pays nothing.

    The same id and content again has the same answer and no effect, with other content it is a 409 (`conflict`). 422
    with the code `id`, `amount`, `account` or `product`: refused, and nothing has changed.
    """
    lines = [LineFact(line.product, line.amount) for line in purchase.lines]
    pay = preview_purchase if purchase.preview else redeem_purchase
    try:
        paid = pay(
            source=SOURCE,
            redemption_id=purchase.redemption_id,
            account_id=purchase.account_id,
            lines=lines,
            now=clock.now(),
        )
    except UnableToRedeem as fault:
        raise _unable_to_redeem(fault) from None
    return redemption_out(paid)


@router.post(
    "/redemptions/{path:redemption_id}/returns",
    auth=redeem_credit,
    response={200: ReturnOut, (400, 401, 403, 404, 409, 413, 422, 429): ProblemOut},
    summary="Give back what credit paid, all or part",
)
def post_return(request: HttpRequest, redemption_id: Path[str], returned: ReturnIn) -> ReturnOut:
    """Give back to the coupons that were used, the last one first.

    The same id and amount again has the same answer and no effect, with another amount it is a 409 (`conflict`). 404
    (`redemption`): it is unknown. 422 with the code `id`, `amount` or `exceeds`: refused, and nothing has changed.
    """
    try:
        back = return_of_purchase(
            source=SOURCE,
            redemption_id=redemption_id,
            return_id=returned.return_id,
            amount=returned.amount,
            now=clock.now(),
        )
    except UnableToGiveBack as fault:
        raise _unable_to_give_back(fault) from None
    return return_out(redemption_id, back)


RETURN_REFUSALS = {
    "redemption": (404, "There is no such redemption."),
    "id": (422, "The id is empty, longer than 100 characters or holds a control character."),
    "amount": (422, "The amount is not a plain decimal above zero with at most two places."),
    "conflict": (409, "The return is known with another amount."),
    "exceeds": (422, "The amount is above what the redemption still holds."),
}


def _unable_to_redeem(fault: UnableToRedeem) -> Problem:
    at = ["body", "lines", fault.line, fault.code]
    errors = None if fault.line is None else [{"at": at, "message": fault.message}]
    detail = f"{fault.message[0].upper()}{fault.message[1:]}."
    return Problem(409 if fault.code == "conflict" else 422, fault.code, detail, errors=errors)


def _unable_to_give_back(fault: UnableToGiveBack) -> Problem:
    status, detail = RETURN_REFUSALS[fault.code]
    return Problem(status, fault.code, detail)


def redemption_out(paid: PaidPurchase) -> RedemptionOut:
    return RedemptionOut(
        redemption_id=paid.redemption_id,
        account_id=paid.account_id,
        recorded=paid.occurred_at is not None,
        occurred_at=paid.occurred_at,
        amount=paid.amount,
        credit=paid.credit,
        cash=paid.amount - paid.credit,
        lines=[
            LineOut(
                product=line.product,
                amount=line.amount,
                accepts_credit=line.accepts_credit,
                credit=line.credit,
                cash=line.amount - line.credit,
                coupons=[CouponPartOut(coupon_id=part.coupon_id, amount=part.amount) for part in line.parts],
            )
            for line in paid.lines
        ],
        coupons=[
            CouponUsedOut(
                coupon_id=coupon.coupon_id,
                kind=coupon.kind,
                amount=coupon.before - coupon.after,
                remaining=coupon.after,
                expires_at=coupon.expires_at,
            )
            for coupon in paid.coupons
        ],
    )


def return_out(redemption_id: str, back: GivenBack) -> ReturnOut:
    return ReturnOut(
        redemption_id=redemption_id,
        return_id=back.given.return_id,
        amount=back.given.amount.amount,
        left=back.left,
        occurred_at=back.given.occurred_at,
        coupons=[CouponPartOut(coupon_id=coupon_id, amount=amount) for coupon_id, amount in back.coupons],
    )
