"""A Stripe to talk to over HTTP: localstripe in a process of its own, and a server in front of it.

localstripe keeps customers, SetupIntents, payment methods, PaymentIntents and refunds, and sends signed webhooks. It
knows no Checkout and no disputes: the front answers for those in the shapes that Stripe documents, has a page that
takes a card as Stripe's does, and hands whatever else is asked to localstripe.

Nor does localstripe know idempotency keys, a description, a list of one customer's PaymentIntents, or that no more is
refunded than was charged. The front adds these as Stripe documents them: the first answer to a key, be it a refusal or
a fault, is the answer to each request with it that says the same; one that says something else is refused; the newest
PaymentIntent comes first. And it can be a network that loses requests or answers.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.running import free_port

SECRET_KEY = "sk_test_of_the_tests"
WEBHOOK_SECRET = "whsec_of_the_tests"
LONGEST_START = 30

PAGE = """<!doctype html><html lang="en"><title>Checkout</title><h1>Checkout</h1>
<form method="post"><label>Card number <input name="number"></label><button>Save card</button></form></html>"""


@dataclass
class Peer:
    """Where the two listen, and what Checkout has open."""

    localstripe: str
    front: str
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, int, bytes]] = field(default_factory=dict)
    """By idempotency key: what was asked, and the status and body of the answer."""
    lost_requests: int = 0
    """How many of the next POSTs do not reach Stripe."""
    lost_answers: int = 0
    """How many of the next answers to a POST do not come back."""
    faults: int = 0
    """How many of the next POSTs end in a fault of Stripe's own."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_anew(self) -> None:
        """Forget all keys, and lose nothing more."""
        self.answers.clear()
        self.lost_requests = self.lost_answers = self.faults = 0

    def ask(self, method: str, path: str, **form: str) -> Any:
        """Ask localstripe; return its answer. Raises HTTPError where it refuses."""
        body = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(f"{self.localstripe}{path}", body, method=method)
        request.add_header("Authorization", f"Bearer {SECRET_KEY}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def open_session(self, form: dict[str, str]) -> dict[str, Any]:
        """As `POST /v1/checkout/sessions` in setup mode: it makes the SetupIntent."""
        assert form["mode"] == "setup"
        assert form["payment_method_types[0]"] == "card"
        intent = self.ask("POST", "/v1/setup_intents", customer=form["customer"])
        name = f"cs_test_{secrets.token_hex(12)}"
        self.sessions[name] = {
            "id": name,
            "object": "checkout.session",
            "mode": "setup",
            "status": "open",
            "payment_status": "no_payment_required",
            "customer": form["customer"],
            "setup_intent": intent["id"],
            "payment_intent": None,
            "success_url": form["success_url"],
            "cancel_url": form["cancel_url"],
            "url": f"{self.front}/pay/{name}",
        }
        return self.sessions[name]

    def enter(self, session: str, number: str, *, month: int = 12, year: int = 2030) -> str:
        """As the customer on Stripe's page: enter a card, and return where Stripe leads after that.

        Raises HTTPError where the card is declined.
        """
        opened = self.sessions[session]
        self.set_up(opened["setup_intent"], opened["customer"], number, month=month, year=year)
        opened["status"] = "complete"
        return str(opened["success_url"]).replace("{CHECKOUT_SESSION_ID}", session)

    def dispute(self, intent: str, cents: int, status: str = "needs_response", *, currency: str = "usd") -> str:
        """As a cardholder's bank that disputes a charge; return what Stripe calls the dispute."""
        name = f"du_{secrets.token_hex(12)}"
        paid = self.ask("GET", f"/v1/payment_intents/{intent}")
        due = {"due_by": int(time.time()) + 86400, "has_evidence": False, "past_due": False, "submission_count": 0}
        self.disputes[name] = {
            "id": name,
            "object": "dispute",
            "amount": cents,
            "balance_transactions": [],
            "charge": paid["latest_charge"]["id"],
            "created": int(time.time()),
            "currency": currency,
            "evidence": {},
            "evidence_details": due,
            "is_charge_refundable": status.startswith("warning_"),
            "livemode": False,
            "metadata": {},
            "payment_intent": intent,
            "reason": "fraudulent",
            "status": status,
        }
        return name

    def told_dispute(self, name: str, *, expanded: bool) -> dict[str, Any]:
        """As `GET /v1/disputes/{id}`, the PaymentIntent being localstripe's where it is asked for."""
        told = self.disputes[name]
        return (
            {**told, "payment_intent": self.ask("GET", f"/v1/payment_intents/{told['payment_intent']}")}
            if (expanded)
            else told
        )

    def set_up(self, intent: str, customer: str, number: str, *, month: int = 12, year: int = 2030) -> str:
        """Confirm a SetupIntent with a card, which localstripe then attaches when asked, and Stripe by itself."""
        kind = "payment_method_data"
        confirmed = self.ask(
            "POST",
            f"/v1/setup_intents/{intent}/confirm",
            **{
                f"{kind}[type]": "card",
                f"{kind}[card][number]": number,
                f"{kind}[card][exp_month]": str(month),
                f"{kind}[card][exp_year]": str(year),
                f"{kind}[card][cvc]": "123",
            },
        )
        token = str(confirmed["payment_method"])
        self.ask("POST", f"/v1/payment_methods/{token}/attach", customer=customer)
        return token

    def send_webhooks_to(self, address: str, *events: str) -> None:
        """Let localstripe tell an address of these events from now on, with signatures."""
        wanted = {f"events[{place}]": event for place, event in enumerate(events)}
        self.ask("POST", "/_config/webhooks/tests", url=address, secret=WEBHOOK_SECRET, **wanted)


@contextmanager
def running_peer() -> Iterator[Peer]:
    """Start both, and end both."""
    port, front_port = free_port(), free_port()
    peer = Peer(f"http://localhost:{port}", f"http://127.0.0.1:{front_port}")
    command = [sys.executable, "-m", "localstripe", "--from-scratch", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = ThreadingHTTPServer(("127.0.0.1", front_port), type("Front", (Front,), {"peer": peer}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        wait_until_it_answers(peer)
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        process.terminate()
        process.wait(10)


def wait_until_it_answers(peer: Peer) -> None:
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, ConnectionError):
            peer.ask("GET", "/v1/balance")
            return
        time.sleep(0.1)
    raise AssertionError("localstripe does not start.")


class Front(BaseHTTPRequestHandler):
    """Checkout, and the way to localstripe."""

    peer: Peer

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        if self.path.startswith("/pay/"):
            self.answer(200, PAGE.encode(), "text/html")
        elif self.path == "/favicon.ico":
            self.answer(204, b"")
        elif self.path.startswith("/v1/disputes/") and name in self.peer.disputes:
            told = self.peer.told_dispute(name, expanded="expand" in self.path)
            self.answer(200, json.dumps(told).encode())
        elif self.path.startswith("/v1/payment_intents?"):
            self.answer(200, json.dumps(self.intents()).encode())
        elif not self.path.startswith(("/v1/checkout/sessions/", "/v1/disputes/")):
            self.forward()
        elif name in self.peer.sessions:
            self.answer(200, json.dumps(self.peer.sessions[name]).encode())
        else:
            fault = {"type": "invalid_request_error", "code": "resource_missing", "message": f"No such {name}"}
            self.answer(404, json.dumps({"error": fault}).encode())

    def do_POST(self) -> None:
        if self.path == "/v1/checkout/sessions":
            self.answer(200, json.dumps(self.peer.open_session(self.form())).encode())
        elif self.path.startswith("/pay/"):
            back = self.peer.enter(self.path.removeprefix("/pay/"), self.form()["number"])
            self.answer(303, b"", location=back)
        elif self.peer.lost_requests:
            self.peer.lost_requests -= 1
            self.hang_up()
        else:
            answer = self.once()
            if self.peer.lost_answers:
                self.peer.lost_answers -= 1
                self.hang_up()
            else:
                self.answer(*answer)

    do_DELETE = do_POST  # noqa: N815

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def form(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.body().decode()))

    def hang_up(self) -> None:
        """Say nothing, as a network that has gone."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def once(self) -> tuple[int, bytes]:
        """Ask localstripe, once for each idempotency key."""
        body, key = self.body(), self.headers.get("Idempotency-Key")
        if key is None:
            return self.ask(body)
        with self.peer.lock:
            asked, status, answer = self.peer.answers.get(key) or (body, *self.ask(body))
            self.peer.answers.setdefault(key, (asked, status, answer))
        if asked != body:
            fault = {"type": "idempotency_error", "message": "Keys for idempotent requests can only be used once."}
            return 400, json.dumps({"error": fault}).encode()
        return status, answer

    def ask(self, body: bytes) -> tuple[int, bytes]:
        if self.peer.faults:
            self.peer.faults -= 1
            return 500, json.dumps({"error": {"type": "api_error", "message": "An unknown error occurred"}}).encode()
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if self.path == "/v1/payment_intents":
            form.pop("description", None)
        if self.path == "/v1/refunds" and self.is_too_much(form):
            fault = {"type": "invalid_request_error", "message": "Refund amount is greater than unrefunded amount"}
            return 400, json.dumps({"error": fault}).encode()
        return self.to_localstripe(urllib.parse.urlencode(form).encode())

    def is_too_much(self, form: dict[str, str]) -> bool:
        intent = self.peer.ask("GET", f"/v1/payment_intents/{form['payment_intent']}")
        refunds = self.peer.ask("GET", f"/v1/refunds?payment_intent={form['payment_intent']}")["data"]
        return bool(int(form["amount"]) > intent["amount"] - sum(refund["amount"] for refund in refunds))

    def intents(self) -> dict[str, Any]:
        """As `GET /v1/payment_intents` of one customer, created since then, the newest first."""
        wanted = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        every = self.peer.ask("GET", "/v1/payment_intents?limit=100")["data"]
        since = int(wanted.get("created[gte]", 0))
        found = [one for one in every if one["customer"] == wanted["customer"] and one["created"] >= since]
        return {"object": "list", "url": "/v1/payment_intents", "has_more": False, "data": found[::-1]}

    def forward(self) -> None:
        self.answer(*self.to_localstripe(self.body()))

    def to_localstripe(self, body: bytes) -> tuple[int, bytes]:
        kept = {name: text for name, text in self.headers.items() if name in ("Authorization", "Content-Type")}
        address = f"{self.peer.localstripe}{self.path}"
        request = urllib.request.Request(address, body or None, kept, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def answer(self, status: int, body: bytes, kind: str = "application/json", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""
