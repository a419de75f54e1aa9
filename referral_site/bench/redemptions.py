"""The jobs of redemption."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.db import connection, transaction
from djmoney.money import Money

from credits.operations import redeem
from referral_site.bench import raw_sql
from referral_site.bench.crowd import Crowd
from referral_site.bench.job import Job
from referral_site.bench.seed import BASE

CLIENTS = 16
CENT = Money("0.01", "USD")
# The whole of two coupons of $5, and a part of the third.
ACROSS_THREE = Money("11.00", "USD")
AT = BASE + timedelta(days=2)


class Redeem(Job):
    """Redemptions of $11 across three coupons of $5, one a customer, one after the other on one connection."""

    name = "redemption"
    needs = frozenset({"welcomes", "goodwill"})
    tables: ClassVar[Sequence[str]] = ("credits_coupon", "credits_couponentry", "credits_redemption")
    proof = """
        SELECT count(*), sum(redemption.amount), sum(spent), sum(entries)
        FROM credits_redemption AS redemption CROSS JOIN LATERAL (
            SELECT sum(amount) AS spent, count(*) AS entries FROM credits_couponentry
            WHERE redemption_id = redemption.id
        ) AS entry WHERE redemption_id LIKE %(names)s
    """

    @property
    def rows(self) -> int:
        return self.scale.redemptions

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"names": f"{turn}-%"}

    def customers(self, turn: int) -> range:
        """The customers of the turn, who have not redeemed yet."""
        first = self.scale.referrals + 1 + turn * self.rows
        return range(first, first + self.rows)

    def ours(self, turn: int) -> None:
        for customer in self.customers(turn):
            redeem_ours(f"{turn}-{customer}", customer, ACROSS_THREE)

    def raw(self, turn: int) -> None:
        for customer in self.customers(turn):
            redeem_raw(f"{turn}-{customer}", customer, ACROSS_THREE)


class RedeemInCrowd(Redeem):
    """Redemptions of one cent on one account, from 16 connections at once."""

    name = "redemption-one-account-16-clients"

    @property
    def rows(self) -> int:
        return CLIENTS * self.each

    @property
    def each(self) -> int:
        """How many redemptions each client has."""
        return max(2, self.scale.redemptions // 10)

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"names": f"crowd-{turn}-%"}

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Gather the clients, all for the last referrer's account."""
        account = self.scale.referrals + self.scale.referrers

        def work(client: int, raw: bool) -> None:
            for number in range(self.each):
                (redeem_raw if raw else redeem_ours)(f"crowd-{turn}-{client}-{number}", account, CENT)

        self.crowd = Crowd(clients=CLIENTS, work=work)

    def ours(self, turn: int) -> None:
        self.crowd.run(raw=False)

    def raw(self, turn: int) -> None:
        self.crowd.run(raw=True)


def redeem_ours(name: str, customer: int, amount: Money) -> None:
    """Redeem by the engine."""
    redeem(source="bench", redemption_id=name, customer_id=customer, amount=amount, occurred_at=AT, now=AT)


def redeem_raw(name: str, customer: int, amount: Money) -> None:
    """Redeem in the fewest statements that are right: lock, read the coupons, and three writes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(raw_sql.LOCK_ACCOUNT, {"customer": customer})
        cursor.execute(raw_sql.USABLE, {"customer": customer, "at": AT})
        taken: dict[str, Any] = {"name": name, "at": AT, **taken_from(cursor.fetchall(), amount.amount)}
        cursor.execute(raw_sql.INSERT_REDEMPTION, taken | {"customer": customer, "amount": amount.amount})
        (redemption,) = cursor.fetchone()
        cursor.execute(raw_sql.SPEND_COUPONS, taken)
        cursor.execute(raw_sql.INSERT_ENTRIES, taken | {"redemption": redemption})


def taken_from(coupons: list[tuple[int, Decimal]], needed: Decimal) -> dict[str, list[Any]]:
    """Take what is needed from coupons in their order: which, how much of each, and what is left on it."""
    ids, parts, balances = [], [], []
    for coupon, remaining in coupons:
        if part := min(needed, remaining):
            ids.append(coupon)
            parts.append(part)
            balances.append(remaining - part)
            needed -= part
    return {"coupons": ids, "parts": parts, "balances": balances}
