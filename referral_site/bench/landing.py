"""The job of the landing: a friend's link with its visit, on granian, beside a bare view under the same middleware."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis

from accounts.models import IdentityVerification, User
from referral_site.bench.job import Job
from referral_site.bench.scratch import url_of
from referrals.models import ReferralLink
from referrals.operations import admit
from referrals.operations.links import new_code
from referrals.tally import COUNTING, ID

WORKERS = 2
CLIENTS = 8
LEAST, MOST = 400, 8000
# Rounds of requests over new connections, so that each worker gets some.
ROUNDS, EACH = 8, 64
LONGEST_START = 60
# A database of the server for the cache in which nobody else counts visits.
VALKEY_DATABASE = 15
ROOT = Path(__file__).resolve().parent.parent.parent
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


class UnableToServe(Exception):
    """The web server does not answer, or not as it should; the message says how. `code` is `served`."""

    code = "served"


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
        load(self.port, path, number)

    def finish(self, turn: int) -> None:
        """Stop the server."""
        if self.server:
            self.server.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.server.wait(10)
            self.server.kill()
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


def start(port: int) -> "subprocess.Popen[bytes]":
    """Start granian on the scratch database."""
    command = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS)]
    command += ["--blocking-threads", "4"]  # as manage.py run has it
    servers = {"DATABASE_URL": url_of(connection.settings_dict), "REDIS_URL": valkey_url()}
    return subprocess.Popen(
        [sys.executable, "-m", "granian", *command, "--log-level", "warning", "referral_site.bench.wsgi:application"],
        cwd=ROOT,
        env=os.environ | servers | {"REFERRAL_DEMO": "0"},
    )


def wait_until_served(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Return once the server answers. Raises UnableToServe."""
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise UnableToServe("The web server does not start.")


def load(port: int, path: str, number: int) -> None:
    """Ask for a page so many times, over a few connections at once. Raises UnableToServe."""
    request = request_of(path)
    faults: list[BaseException] = []

    def ask(times: int) -> None:
        try:
            with answers(port) as connected:
                for _ in range(times):
                    connected.sendall(request)
                    read_answer(connected)
        except BaseException as fault:
            faults.append(fault)
            raise

    shares = [number // CLIENTS + (client < number % CLIENTS) for client in range(CLIENTS)]
    clients = [Thread(target=ask, args=(share,)) for share in shares]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if faults:
        raise UnableToServe(f"{path}: {faults[0]}")


@contextmanager
def answers(port: int) -> Iterator[socket.socket]:
    """A connection that stays open from one request to the next."""
    with socket.create_connection(("127.0.0.1", port), 30) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connected


def request_of(path: str) -> bytes:
    """A browser's first request, without a cookie; in production, as the proxy before the site passes it on."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {urlsplit(settings.SITE_URL).netloc}",
        f"User-Agent: {BROWSER}",
        "Accept: text/html",
        "Accept-Language: en",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(connected: socket.socket) -> None:
    """Read one answer to its end. Raises UnableToServe unless it is 200."""
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += received_from(connected)
    head = bytes(received[:end]).lower()
    if not head.startswith(b"http/1.1 200"):
        raise UnableToServe(head.decode(errors="replace"))
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    left = end + 4 + length - len(received)
    while left > 0:
        left -= len(received_from(connected))


def received_from(connected: socket.socket) -> bytes:
    """What has arrived. Raises UnableToServe where the server has hung up."""
    if part := connected.recv(1 << 16):
        return part
    raise UnableToServe("The web server hung up.")


def valkey_url() -> str:
    """The address of the cache's server, in a database of the bench's own."""
    return f"{settings.REDIS_URL.partition('?')[0]}?db={VALKEY_DATABASE}"


def valkey() -> Redis:
    """A client of that database."""
    return Redis.from_url(valkey_url(), decode_responses=True)


def valkey_visits() -> int:
    """How many visits stand there."""
    fields = valkey().hgetall(COUNTING)
    return sum(int(number) for name, number in fields.items() if name != ID)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
