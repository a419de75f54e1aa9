"""Sixteen clients on one account: processes, as web workers are; and the raw redemption beside the engine's."""

import multiprocessing
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from typing import Any

from django.db import connection, transaction
from djmoney.money import Money

from credits.operations import redeem
from referral_site.bench import raw_sql

CLIENTS = 16
CENT = Money("0.01", "USD")
# Seconds until clients that do not come to an end are given up.
LONGEST_WAIT = 600


class UnableToRunCrowd(Exception):
    """A client failed; its traceback stands above. `code` is `client`."""

    code = "client"


def run(*, turn: int, customer: int, each: int, at: datetime, raw: bool) -> None:
    """Let every client redeem `each` times a cent of the customer's credit. Raises UnableToRunCrowd."""
    # A connection must not cross the fork.
    connection.close()
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(CLIENTS)
    one = _redeem_raw if raw else _redeem_ours
    clients = [
        fork.Process(target=_client, args=(start, one, f"crowd-{turn}-{number}", customer, each, at), daemon=True)
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(LONGEST_WAIT)
    if any(client.exitcode != 0 for client in clients):
        raise UnableToRunCrowd("A client of the bench did not come to its end.")


def redeem_raw(*, name: str, customer: int, amount: Decimal, at: datetime) -> None:
    """Redeem US dollars in the fewest statements that are right: lock, read the coupons, and three writes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(raw_sql.LOCK_ACCOUNT, {"customer": customer})
        cursor.execute(raw_sql.USABLE, {"customer": customer, "at": at})
        coupons, parts, balances, needed = [], [], [], amount
        for coupon, remaining in cursor.fetchall():
            if part := min(needed, remaining):
                coupons.append(coupon)
                parts.append(part)
                balances.append(remaining - part)
                needed -= part
        taken: dict[str, Any] = {"coupons": coupons, "parts": parts, "balances": balances, "name": name, "at": at}
        cursor.execute(raw_sql.INSERT_REDEMPTION, taken | {"customer": customer, "amount": amount})
        (redemption,) = cursor.fetchone()
        cursor.execute(raw_sql.SPEND_COUPONS, taken)
        cursor.execute(raw_sql.INSERT_ENTRIES, taken | {"redemption": redemption})


def _client(
    start: Barrier, one: Callable[[str, int, datetime], None], name: str, customer: int, each: int, at: datetime
) -> None:
    connection.ensure_connection()
    start.wait()
    for number in range(each):
        one(f"{name}-{number}", customer, at)
    connection.close()


def _redeem_ours(name: str, customer: int, at: datetime) -> None:
    redeem(source="bench", redemption_id=name, customer_id=customer, amount=CENT, occurred_at=at, now=at)


def _redeem_raw(name: str, customer: int, at: datetime) -> None:
    redeem_raw(name=name, customer=customer, amount=CENT.amount, at=at)
