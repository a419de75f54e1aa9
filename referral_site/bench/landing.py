"""The job of the landing: a friend's link with its visit, on granian, beside a bare view under the same middleware."""

import subprocess
from typing import Any

from django.utils import timezone

from accounts.models import IdentityVerification, User
from referral_site.bench.job import Job
from referral_site.bench.served import (
    CLIENTS,
    UnableToServe,
    ask_in_turn,
    free_port,
    request_of,
    start,
    stop,
    valkey,
    wait_until_served,
)
from referrals.models import ReferralLink
from referrals.operations import admit
from referrals.operations.links import new_code
from referrals.tally import COUNTING, ID

LEAST, MOST = 400, 8000
# Rounds of requests over new connections, so that each worker gets some.
ROUNDS, EACH = 8, 64


class Landing(Job):
    """First visits to a link by persons, each in a browser of its own: rows are visits.

    The raw side asks for a view that answers with nothing.
    """

    name = "landing"
    rounds = 5

    def __init__(self, *scale: Any) -> None:
        super().__init__(*scale)
        self.code = new_code()
        self.server: subprocess.Popen[bytes] | None = None

    @property
    def rows(self) -> int:
        return max(LEAST, min(MOST, self.scale.due))

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Start the server, and warm each worker up."""
        if turn == 0:
            give_link(self.code)
        valkey().flushdb()
        self.port = free_port()
        self.server = start(self.port)
        self.is_raw = raw
        wait_until_served(self.port, self.server)
        for _ in range(ROUNDS):
            self.ask(EACH, raw=raw)

    def ours(self, turn: int) -> None:
        self.ask(self.rows, raw=False)

    def raw(self, turn: int) -> None:
        self.ask(self.rows, raw=True)

    def ask(self, number: int, *, raw: bool) -> None:
        """Have clients ask for the page until there were so many answers."""
        path = "/r/bench/bare/" if raw else f"/r/{self.code}/"
        request = request_of("GET", path)
        shares = [number // CLIENTS + (client < number % CLIENTS) for client in range(CLIENTS)]
        ask_in_turn(self.port, [[request] * share for share in shares])

    def finish(self, turn: int) -> None:
        """Stop the server."""
        if self.server:
            stop(self.server)
            self.server = None
            self.counted = int(valkey_visits())
            valkey().flushdb()

    def written(self, turn: int) -> tuple[Any, ...]:
        """Say whether all visits were counted: the bare view counts none."""
        expected = 0 if self.is_raw else self.rows + ROUNDS * EACH
        if self.counted != expected:
            raise UnableToServe(f"{self.counted} visits were counted, and not {expected}.")
        return ()


def give_link(code: str) -> None:
    """Write a customer who may refer, with a link."""
    now = timezone.now()
    owner = User.objects.create(
        email="landing@example.com", created_at=now, registered_at=now, payment_method_added_at=now
    )
    IdentityVerification.objects.create(
        customer=owner, state="passed", identity_digest="landing", passed_at=now, is_eligible=True
    )
    admit(user_ids=[owner.pk], now=now)
    ReferralLink.objects.create(owner=owner, code=code, created_at=now)


def valkey_visits() -> int:
    """How many visits stand there."""
    fields = valkey().hgetall(COUNTING)
    return sum(int(number) for name, number in fields.items() if name != ID)
