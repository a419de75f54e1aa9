"""A receiver of webhooks: a real server on this machine that keeps what it was sent, and answers as it is told to."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

from accounts.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookType
from accounts.operations import add_endpoint, deliver_webhooks
from accounts.operations.webhooks import Told
from tests.facts import JANUARY, NOW

ALL = [name for name in WebhookType.values if name != WebhookType.TEST]


@dataclass
class Letter:
    """A message as it arrived."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"])

    @property
    def sequence(self) -> int:
        return int(json.loads(self.body)["sequence"])

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data

    def is_signed_by(self, secret: str) -> bool:
        """Whether the library that receivers use takes it; it looks at the timestamp, too."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except Exception:  # noqa: BLE001  # whatever it has against it
            return False
        return True


@dataclass
class Receiver:
    """Where it listens, what it was sent, and what it answers: a status, and headers."""

    url: str = ""
    letters: list[Letter] = field(default_factory=list)
    answer: Callable[[Letter], int | tuple[int, dict[str, str]]] = lambda letter: 204
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def types(self) -> list[str]:
        return [letter.type for letter in self.letters]

    @property
    def ids(self) -> list[str]:
        return [letter.id for letter in self.letters]


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver that listens, over TLS if it is given a certificate."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the server's word
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            letter = Letter(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            with receiver.lock:
                receiver.letters.append(letter)
            answer = receiver.answer(letter)
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 50

        def handle_error(self, *request: Any) -> None:
            """Clients that hang up are part of the play."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.url = f"{'https' if tls else 'http'}://{name}:{server.server_address[1]}/hooks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def hook(receiver: Receiver, *events: str, at: datetime = JANUARY) -> tuple[WebhookEndpoint, str]:
    """Let a receiver be told of these types, or of all; return the endpoint and its secret."""
    return add_endpoint(url=receiver.url, events=events or ALL, actor=None, now=at)


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate of a name (or an address) by itself, as a server needs it, and as who trusts it does."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted = folder / f"{name}.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


def happen(*names: str, stream: str = "referral:7", at: datetime = NOW) -> list[WebhookEvent]:
    """Let so many things happen to a referral."""
    return WebhookEvent.objects.bulk_create(
        [
            WebhookEvent(
                key=f"{stream}:{name}", type="reward.granted", stream=stream, payload={"name": name}, created_at=at
            )
            for name in names
        ]
    )


def names(receiver: Receiver) -> list[str]:
    return [letter.data["name"] for letter in receiver.letters]


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def only_named(name: str) -> WebhookDelivery:
    return WebhookDelivery.objects.get(event__payload__name=name)


def states() -> list[str]:
    return list(WebhookDelivery.objects.order_by("pk").values_list("state", flat=True))


def attempts_until_given_up(receiver: Receiver) -> list[timedelta]:
    """Go from one try to the next; return when they were, from the first on."""
    at = NOW
    tried = []
    while only().state == "pending" if WebhookDelivery.objects.exists() else True:
        deliver_webhooks(now=at)
        tried.append(at - NOW)
        before = only().due_at - timedelta(microseconds=1)
        if only().state == "pending":
            assert deliver_webhooks(now=before) == Told(), "no sooner than it is due"
        at = only().due_at
    assert len(receiver.letters) == len(tried)
    return tried
