"""The site on granian, as the bench asks it: over a few connections at once, each of which stays open."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from redis import Redis

from referral_site.bench.scratch import url_of

WORKERS = 2
CLIENTS = 8
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


def start(port: int, **environment: str) -> "subprocess.Popen[bytes]":
    """Start granian on the scratch database."""
    command = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS)]
    command += ["--blocking-threads", "4"]  # as manage.py run has it
    servers = {"DATABASE_URL": url_of(connection.settings_dict), "REDIS_URL": valkey_url()}
    return subprocess.Popen(
        [sys.executable, "-m", "granian", *command, "--log-level", "warning", "referral_site.bench.wsgi:application"],
        cwd=ROOT,
        env=os.environ | servers | {"REFERRAL_DEMO": "0"} | environment,
    )


def wait_until_served(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Return once the server answers. Raises UnableToServe."""
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise UnableToServe("The web server does not start.")


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server, whatever it does."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(10)
    server.kill()


def ask_in_turn(port: int, requests: Sequence[Iterable[bytes]]) -> None:
    """Ask so many clients' requests, those of one client one after the other. Raises UnableToServe."""
    faults: list[BaseException] = []

    def ask(own: Iterable[bytes]) -> None:
        try:
            with answers(port) as connected:
                for request in own:
                    connected.sendall(request)
                    read_answer(connected)
        except BaseException as fault:
            faults.append(fault)
            raise

    clients = [Thread(target=ask, args=(own,)) for own in requests]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if faults:
        raise UnableToServe(str(faults[0]))


@contextmanager
def answers(port: int) -> Iterator[socket.socket]:
    """A connection that stays open from one request to the next."""
    with socket.create_connection(("127.0.0.1", port), 30) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connected


def request_of(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A browser's request without a cookie, or with `headers` a program's, as the proxy before the site hands it on."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {urlsplit(settings.SITE_URL).netloc}",
        f"User-Agent: {BROWSER}",
        "Accept: text/html",
        "Accept-Language: en",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        *([f"Content-Length: {len(body)}"] if body else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


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


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
