"""The job of redemptions by HTTP on granian, beside the raw transaction that writes the same rows."""

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.db import connection
from django.utils import timezone

from accounts.models import ApiKey
from accounts.operations import create_api_key
from accounts.retries import retried
from credits.operations import NewCoupon, issue_coupons
from referral_site.bench import raw_sql
from referral_site.bench.redemptions import ACROSS_THREE, Redeem, taken_from
from referral_site.bench.served import (
    CLIENTS,
    ask_in_turn,
    free_port,
    request_of,
    start,
    stop,
    valkey,
    wait_until_served,
)

PATH = "/api/v1/redemptions"
PRODUCT = "ecs"
FIVE, A_YEAR = Decimal("5.00"), timedelta(days=365)
# The previews of one purchase, over new connections, so that each worker has done all once.
ROUNDS, EACH = 4, 4


class ApiRedeem(Redeem):
    """Redemptions of a line of $11 across three coupons, one a customer, from as many clients on both sides."""

    name = "api-redemptions"
    needs = frozenset()
    tables = (*Redeem.tables, "credits_redemptionline")
    proof = """
        SELECT count(*), sum(redemption.amount), sum(spent), sum(entries), sum(line.paid)
        FROM credits_redemption AS redemption CROSS JOIN LATERAL (
            SELECT sum(amount) AS spent, count(*) AS entries FROM credits_couponentry
            WHERE redemption_id = redemption.id
        ) AS entry JOIN credits_redemptionline AS line ON line.redemption_id = redemption.id
        WHERE redemption.redemption_id LIKE %(names)s
    """
    server: "subprocess.Popen[bytes] | None" = None
    key = ""
    requests: Sequence[Sequence[bytes]]
    connections: Sequence[Any] = ()

    def name_of(self, turn: int, customer: int) -> str:
        return f"api-{turn}-{customer}"

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"names": self.name_of(turn, 0)[:-1] + "%"}

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Issue the coupons; connect the clients, or start the server and have ready what they ask."""
        issue_three_each(turn, self.customers(turn))
        if raw:
            parameters = connection.get_connection_params()
            self.connections = [connection.get_new_connection(parameters) for _ in range(CLIENTS)]
            return
        if not self.key:
            scopes = [ApiKey.Scope.CREDIT_REDEEM]
            _, self.key = create_api_key(name="bench", scopes=scopes, actor=None, now=timezone.now())
        self.requests = shared_out([self.request(turn, customer) for customer in self.customers(turn)])
        self.port = free_port()
        self.server = start(self.port, API_CALLS_PER_MINUTE="1000000")
        wait_until_served(self.port, self.server)
        preview = self.request(turn, self.customers(turn)[0], preview=True)
        for _ in range(ROUNDS):
            ask_in_turn(self.port, [[preview] * EACH] * CLIENTS)

    def ours(self, turn: int) -> None:
        ask_in_turn(self.port, self.requests)

    def raw(self, turn: int) -> None:
        shares = shared_out(self.customers(turn))
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(self.redeem_raw, [turn] * CLIENTS, self.connections, shares))

    def finish(self, turn: int) -> None:
        """Stop the server, and close the clients' connections."""
        if self.server:
            stop(self.server)
            self.server = None
            valkey().flushdb()
        for one in self.connections:
            one.close()
        self.connections = ()

    def request(self, turn: int, customer: int, *, preview: bool = False) -> bytes:
        """The call that redeems."""
        purchase = {
            "redemption_id": self.name_of(turn, customer),
            "account_id": f"bench-{customer}",
            "lines": [{"product": PRODUCT, "amount": str(ACROSS_THREE.amount)}],
            "preview": preview,
        }
        headers = {"Authorization": f"Bearer {self.key}", "Content_Type": "application/json"}
        return request_of("POST", PATH, orjson.dumps(purchase), **headers)

    def redeem_raw(self, turn: int, connected: Any, customers: Sequence[int]) -> None:
        """Redeem in the fewest statements that are right, a transaction each."""
        for customer in customers:
            with connected, connected.cursor() as cursor:
                redeem_raw(cursor, self.name_of(turn, customer), customer)


def redeem_raw(cursor: Any, name: str, customer: int) -> None:
    """Lock, read the coupons, and four writes."""
    of = {"name": name, "customer": customer, "at": timezone.now(), "amount": ACROSS_THREE.amount, "product": PRODUCT}
    cursor.execute(raw_sql.LOCK_ACCOUNT, of)
    cursor.execute(raw_sql.USABLE, of)
    taken: dict[str, Any] = of | taken_from(cursor.fetchall(), ACROSS_THREE.amount)
    cursor.execute(raw_sql.INSERT_REDEMPTION, taken)
    taken["redemption"] = cursor.fetchone()[0]
    cursor.execute(raw_sql.INSERT_LINE, taken)
    cursor.execute(raw_sql.SPEND_COUPONS, taken)
    cursor.execute(raw_sql.INSERT_ENTRIES, taken)


@retried
def issue_three_each(turn: int, customers: Sequence[int]) -> None:
    """Issue three coupons of $5 a customer that are usable by the clock: who redeems by the API does it now."""
    now = timezone.now()
    issued = now - timedelta(days=1)
    coupons = [
        NewCoupon(customer, "goodwill", None, f"goodwill:api:{turn}:{customer}:{n}", FIVE, issued, now + n * A_YEAR)
        for customer in customers
        for n in (1, 2, 3)
    ]
    issue_coupons(coupons=coupons, now=now)


def shared_out(work: Sequence[Any]) -> list[Sequence[Any]]:
    """Give each client its share, in their order."""
    return [work[client::CLIENTS] for client in range(CLIENTS)]
