"""The job of the API: spend by HTTP on granian, beside raw SQL that copies and inserts the same batches."""

import csv
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from itertools import islice
from typing import Any

import orjson
from django.db import connection
from django.utils import timezone

from accounts.models import ApiKey
from accounts.operations import create_api_key
from referral_site.bench import raw_sql
from referral_site.bench.imports import SpendImport
from referral_site.bench.seed import BASE
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
from referrals.operations import track

PATH = "/api/v1/spend-events"
BATCH = 1000
# Batches of one event that is refused, over new connections, so that each worker has done all once.
ROUNDS = 4

Row = dict[str, str]


class ApiSpend(SpendImport):
    """The lines of the import's file by `POST /spend-events`, 1,000 a batch, from as many clients on both sides.

    Recorded, not tracked: that is a worker's, and follows outside the clock.
    """

    name = "api-spend-events"
    tables = ("billing_spendevent",)
    proof = """
        SELECT count(*), sum(amount), sum(original_amount), count(*) FILTER (WHERE qualifies)
        FROM billing_spendevent AS event JOIN friend ON friend.id = event.customer_id
        WHERE source = 'billing' AND event_id ^@ 'api-'
    """
    server: "subprocess.Popen[bytes] | None" = None
    key = ""
    requests: Sequence[Sequence[bytes]]
    files: Sequence[Sequence[str]]
    connections: Sequence[Any] = ()

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Have ready what each client brings, and start the server."""
        if not self.key:
            self.key = create_api_key(name="bench", scopes=[ApiKey.Scope.SPEND_WRITE], actor=None, now=timezone.now())[
                1
            ]
        self.write(turn, self.events)
        with self.path.open(newline="") as file:
            batches = list(batches_of(csv.DictReader(file)))
        if raw:
            self.files = shared_out([in_csv(batch) for batch in batches])
            parameters = connection.get_connection_params()
            self.connections = [connection.get_new_connection(parameters) for _ in range(CLIENTS)]
            return
        self.requests = shared_out([self.request(batch) for batch in batches])
        self.port = free_port()
        self.server = start(self.port, API_CALLS_PER_MINUTE="1000000")
        wait_until_served(self.port, self.server)
        refused = self.request([batches[0][0] | {"product": "none"}])
        for _ in range(ROUNDS):
            ask_in_turn(self.port, [[refused] * 2] * CLIENTS)

    def ours(self, turn: int) -> None:
        ask_in_turn(self.port, self.requests)

    def raw(self, turn: int) -> None:
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(record_raw, self.connections, self.files))

    def finish(self, turn: int) -> None:
        """Stop the server, and track what was recorded."""
        if self.server:
            stop(self.server)
            self.server = None
            valkey().flushdb()
        for one in self.connections:
            one.close()
        self.connections = ()
        track(now=BASE)

    def request(self, batch: Sequence[Row]) -> bytes:
        """The call that brings a batch."""
        body = orjson.dumps({"events": batch})
        return request_of("POST", PATH, body, Authorization=f"Bearer {self.key}", Content_Type="application/json")


def batches_of(rows: Iterable[Row]) -> Iterable[list[Row]]:
    """Take rows by the batch."""
    left = iter(rows)
    return iter(lambda: list(islice(left, BATCH)), [])


def shared_out(batches: Sequence[Any]) -> list[Sequence[Any]]:
    """Give each client its share of the batches, in their order."""
    return [batches[client::CLIENTS] for client in range(CLIENTS)]


def in_csv(batch: Sequence[Row]) -> str:
    """The same batch as a file for COPY."""
    file = StringIO()
    lines = csv.DictWriter(file, list(batch[0]))
    lines.writeheader()
    lines.writerows(batch)
    return file.getvalue()


def record_raw(connected: Any, files: Sequence[str]) -> None:
    """Copy and insert batches, a transaction each."""
    for file in files:
        with connected, connected.cursor() as cursor:
            cursor.execute(raw_sql.STAGE)
            cursor.copy_expert(raw_sql.COPY, StringIO(file))
            cursor.execute(raw_sql.RECORD_ALONE, {"now": BASE})
