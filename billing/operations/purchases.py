"""Purchases of a billing system that credit helps to pay: what the catalogue says of their lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection
from djmoney.money import Money

from credits.operations import (
    GivenBack,
    Line,
    PaidPurchase,
    UnableToGiveBack,
    UnableToRedeem,
    preview_lines,
    redeem_lines,
    return_credit,
)
from credits.operations.redemptions import is_id

ACCEPT_CREDIT = "SELECT code, accepts_credit FROM billing_product WHERE code = ANY(%(codes)s)"

AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?", re.ASCII)


class LineFact(NamedTuple):
    """A line as it came, in raw text: the code of a product, and US dollars."""

    product: str
    amount: str


def redeem_purchase(
    *, source: str, redemption_id: str, account_id: str, lines: Sequence[LineFact], now: datetime
) -> PaidPurchase:
    """Pay a purchase with the account's credit, in part where less is left (`credits.operations.redeem_lines`).

    Raises UnableToRedeem: id, amount, conflict, account, product.
    """
    return redeem_lines(**_judged(source, redemption_id, account_id, lines), now=now)


def preview_purchase(
    *, source: str, redemption_id: str, account_id: str, lines: Sequence[LineFact], now: datetime
) -> PaidPurchase:
    """Say what `redeem_purchase` would answer now, and write nothing. Raises UnableToRedeem, as that does."""
    return preview_lines(**_judged(source, redemption_id, account_id, lines), now=now)


def return_of_purchase(*, source: str, redemption_id: str, return_id: str, amount: str, now: datetime) -> GivenBack:
    """Give back US dollars, in raw text, of what credit paid (`credits.operations.return_credit`).

    Raises UnableToGiveBack: amount, redemption, id, conflict, exceeds.
    """
    if not AMOUNT.fullmatch(amount):
        raise UnableToGiveBack("amount")
    money = Money(amount, "USD")
    return return_credit(source=source, redemption_id=redemption_id, return_id=return_id, amount=money, now=now)


def _judged(source: str, redemption_id: str, account_id: str, lines: Sequence[LineFact]) -> dict[str, Any]:
    if not (is_id(redemption_id) and is_id(account_id)):
        raise UnableToRedeem("id")
    read = [_read(place, line) for place, line in enumerate(lines)]
    return {
        "source": source,
        "redemption_id": redemption_id,
        "account_id": account_id,
        "lines": read,
        "accepts_credit": _accept_credit(read),
    }


def _read(place: int, line: LineFact) -> Line:
    if not AMOUNT.fullmatch(line.amount):
        raise UnableToRedeem("amount", line=place)
    return Line(line.product, Decimal(line.amount))


def _accept_credit(lines: Sequence[Line]) -> Mapping[str, bool]:
    """Say of each product of the lines that there is whether it accepts credit."""
    codes = {line.product for line in lines if is_id(line.product)}
    with connection.cursor() as cursor:
        cursor.execute(ACCEPT_CREDIT, {"codes": list(codes)})
        return dict(cursor.fetchall())
