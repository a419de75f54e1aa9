"""Events as Stripe sends them, and their signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from django.test import Client

from tests.stripe_peer import WEBHOOK_SECRET

ADDRESS = "/webhooks/stripe/"


def event(event_type: str, named: str, *, event_id: str = "evt_1") -> bytes:
    """An event that names an object, in the shape that Stripe documents."""
    told: dict[str, Any] = {
        "id": event_id,
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": int(time.time()),
        "type": event_type,
        "livemode": False,
        "pending_webhooks": 1,
        "data": {"object": {"id": named, "object": event_type.split(".")[-2]}},
    }
    return json.dumps(told).encode()


def signature(payload: bytes, *, secret: str = WEBHOOK_SECRET, age: float = 0) -> str:
    """The header of Stripe's scheme v1, made by hand: HMAC-SHA256 over the time and the payload."""
    at = int(time.time() - age)
    made = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


def post(client: Client, payload: bytes, header: str | None = None) -> Any:
    headers = {"Stripe-Signature": signature(payload) if header is None else header}
    return client.post(ADDRESS, payload, content_type="application/json", headers=headers)
