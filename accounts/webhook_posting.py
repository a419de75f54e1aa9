"""A message on the wire: signed as Standard Webhooks has it, and posted to an address that was checked a moment before.

Nothing here looks at the database, so that it runs outside any transaction, and in threads.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from threading import Event, Timer
from time import monotonic

from django.conf import settings
from standardwebhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from accounts.webhook_addresses import Target, UnableToReach, addresses_of, target_of

FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (NewConnectionError, "no connection"),
    (TimeoutError, "timeout"),
    (ConnectTimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
    (ConnectionError, "connection lost"),
    (HTTPException, "no http"),
)
"""The first that fits; a fault's own words may hold what is nobody's business."""

CONNECT_SECONDS = 5.0
ALL_SECONDS = 15.0
"""For all of it but the look-up of the name, up to the end of the answer's head, however it drips; the body is not
read."""

MOST_ADDRESSES = 3
"""Of those that a name has, so many are tried where nobody is at the first."""


@dataclass(frozen=True)
class Message:
    """What is posted: to which address, under which id, the very bytes, and the secrets that sign them."""

    url: str
    id: str
    body: str
    secrets: Sequence[str]


@dataclass(frozen=True)
class Answer:
    """What came of it: a status, or the kind of fault that kept one from coming."""

    status: int | None
    error: str = ""
    milliseconds: int = 0
    retry_after: int = 0
    """Seconds that the endpoint asks to be left alone."""

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == 410

    @property
    def is_silence(self) -> bool:
        """Whether nobody was there at all: the next message would meet the same."""
        return self.status is None


def post(message: Message) -> Answer:
    """Post a message once, and return what came of it. A redirect is an answer like any other, and is not followed."""
    began = monotonic()
    try:
        status, retry_after = _post(message)
    except UnableToReach as refusal:
        return Answer(None, refusal.code, _since(began))
    except (HTTPError, HTTPException, OSError, ValueError) as fault:
        return Answer(None, _name_of(fault), _since(began))
    return Answer(status, "", _since(began), retry_after)


def signed(message: Message, at: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each secret."""
    signatures = (Webhook(secret).sign(message.id, at, message.body) for secret in message.secrets)
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _post(message: Message) -> tuple[int, int]:
    target = target_of(message.url)
    tried = addresses_of(target)[:MOST_ADDRESSES]
    until = monotonic() + ALL_SECONDS
    for left, address in zip(range(len(tried) - 1, -1, -1), tried, strict=True):
        try:
            return _exchange(target, address, message, until)
        except (NewConnectionError, ConnectTimeoutError):
            if not left:
                raise
    raise UnableToReach("name")


def _exchange(target: Target, address: str, message: Message, until: float) -> tuple[int, int]:
    """Send to this address and no other; return the status, and for how long not to come back."""
    connection = _connection(target, address)
    # Receivers hold the timestamp against their own clocks: it is the real instant, wherever the demo's clock stands.
    headers = {
        **signed(message, datetime.now(UTC)),
        "host": target.authority,
        "content-type": "application/json",
        "user-agent": "refer-a-friend",
        "connection": "close",
    }
    with _hung_up_after(until - monotonic(), connection):
        connection.connect()
        connection.timeout = ALL_SECONDS
        connection.request("POST", target.path, body=message.body.encode(), headers=headers, preload_content=False)
        answer = connection.getresponse()
        return answer.status, _seconds(answer.headers.get("retry-after", ""))


def _connection(target: Target, address: str) -> HTTPConnection:
    """A connection to an address, whose certificate has to be the name's."""
    if target.scheme == "http":
        return HTTPConnection(address, target.port, timeout=CONNECT_SECONDS)
    return HTTPSConnection(
        address,
        target.port,
        timeout=CONNECT_SECONDS,
        server_hostname=target.host,
        cert_reqs="CERT_REQUIRED",
        ca_certs=settings.WEBHOOKS_CA_FILE,
    )


@contextmanager
def _hung_up_after(seconds: float, connection: HTTPConnection) -> Iterator[None]:
    """Shut the connection after so many seconds, whatever it is doing: a byte now and then keeps no timeout from it."""
    is_late = Event()

    def hang_up() -> None:
        is_late.set()
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
        if is_late.is_set():
            raise TimeoutError  # the end of the connection was read as the end of the answer's head
    except (HTTPException, OSError) as fault:
        if is_late.is_set():
            raise TimeoutError from fault
        raise
    finally:
        timer.cancel()
        connection.close()


def _seconds(text: str) -> int:
    """What Retry-After says in seconds; a date says nothing here."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _since(began: float) -> int:
    return int((monotonic() - began) * 1000)


def _name_of(fault: BaseException) -> str:
    return next((name for kind, name in FAULTS if isinstance(fault, kind)), type(fault).__name__)
