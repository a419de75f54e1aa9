"""Sixteen clients on one account: processes, as web workers are; and the raw redemption beside the engine's."""

import multiprocessing
from datetime import datetime
from decimal import Decimal
from threading import BrokenBarrierError
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


class Crowd:
    """Clients that have connected and wait at the gate, so that neither their start nor their end is measured."""

    def __init__(self, *, turn: int, customer: int, each: int, at: datetime) -> None:
        # A connection must not cross the fork.
        connection.close()
        fork = multiprocessing.get_context("fork")
        self._raw = fork.Value("b", 0)
        self._start = fork.Barrier(CLIENTS + 1)
        self._end = fork.Barrier(CLIENTS + 1)
        self._clients = [
            fork.Process(target=self._serve, args=(f"crowd-{turn}-{number}", customer, each, at), daemon=True)
            for number in range(CLIENTS)
        ]
        for client in self._clients:
            client.start()

    def redeem(self, *, raw: bool) -> None:
        """Let every client redeem its share, a cent of the customer's credit each. Raises UnableToRunCrowd."""
        self._raw.value = raw
        try:
            self._start.wait(LONGEST_WAIT)
            self._end.wait(LONGEST_WAIT)
        except BrokenBarrierError as fault:
            raise UnableToRunCrowd("A client of the bench did not come to its end.") from fault

    def _serve(self, name: str, customer: int, each: int, at: datetime) -> None:
        try:
            connection.ensure_connection()
            self._start.wait(LONGEST_WAIT)
            one = _redeem_raw if self._raw.value else _redeem_ours
            for number in range(each):
                one(f"{name}-{number}", customer, at)
            self._end.wait(LONGEST_WAIT)
        except BaseException:
            self._start.abort()
            self._end.abort()
            raise
        finally:
            connection.close()


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


def _redeem_ours(name: str, customer: int, at: datetime) -> None:
    redeem(source="bench", redemption_id=name, customer_id=customer, amount=CENT, occurred_at=at, now=at)


def _redeem_raw(name: str, customer: int, at: datetime) -> None:
    redeem_raw(name=name, customer=customer, amount=CENT.amount, at=at)
