"""Endpoints: added, switched off and on, their secrets, and a test message."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import User, WebhookEndpoint, WebhookEvent, WebhookSecret, WebhookType
from accounts.retries import retried
from accounts.webhook_addresses import target_of

PREFIX = "whsec_"
MOST_OVERLAP = timedelta(days=7)

REASONS = {
    "events": "An endpoint wants at least one kind of event, and each is one of those listed.",
    "known": "There is an endpoint with this address already.",
    "unknown": "There is no such endpoint.",
    "off": "The endpoint is off.",
    "overlap": "The old secret signs on for at most 7 days.",
    "key": "The site's SECRET_KEY is not the one under which this secret was made: rotate the secret.",
}


class UnableToHook(Exception):
    """What cannot be done with an endpoint; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


@retried
def add_endpoint(
    *, url: str, events: Collection[str], actor: User | None, now: datetime
) -> tuple[WebhookEndpoint, str]:
    """Add an endpoint that is told of these types of events from now on; return it and its secret, which is shown once.

    Raises UnableToReach for an address that webhooks do not go to (where it is a name, that shows when a message is
    sent), and UnableToHook: events, known.
    """
    target_of(url)
    if not events or not set(events) <= set(WebhookType.values) - {WebhookType.TEST}:
        raise UnableToHook("events")
    try:
        with transaction.atomic():
            endpoint = WebhookEndpoint.objects.create(
                url=url, events=sorted(set(events)), created_at=now, created_by=actor
            )
            return endpoint, _new_secret(endpoint.pk, now)
    except IntegrityError as fault:
        raise UnableToHook("known") from fault


@retried
@transaction.atomic
def rotate_secret(*, endpoint_id: int, overlap: timedelta, now: datetime) -> str:
    """Make a new secret for an endpoint, and return it, this once; the one before signs too until `overlap` is over.

    Locks the endpoint. Raises UnableToHook: unknown, overlap.
    """
    if not timedelta() <= overlap <= MOST_OVERLAP:
        raise UnableToHook("overlap")
    # Two rotations at once: the second waits, and ends the secret of the first.
    if not WebhookEndpoint.objects.select_for_update(no_key=True, of=("self",)).filter(pk=endpoint_id).exists():
        raise UnableToHook("unknown")
    WebhookSecret.objects.filter(endpoint_id=endpoint_id, ends_at=None).update(ends_at=now + overlap)
    return _new_secret(endpoint_id, now)


@retried
def switch_endpoint_off(*, endpoint_id: int, reason: str = "staff", now: datetime) -> bool:
    """Tell an endpoint of nothing more; return False where it is off already. What waits for it waits on."""
    is_on = WebhookEndpoint.objects.filter(pk=endpoint_id, switched_off_at=None)
    return bool(is_on.update(switched_off_at=now, off_reason=reason))


@retried
def switch_endpoint_on(*, endpoint_id: int) -> bool:
    """Tell an endpoint of what happens from now on, and of what has waited for it; return False where it is on."""
    is_off = WebhookEndpoint.objects.filter(pk=endpoint_id, switched_off_at__isnull=False)
    return bool(is_off.update(switched_off_at=None, off_reason=""))


@retried
@transaction.atomic
def send_test(*, endpoint_id: int, now: datetime) -> WebhookEvent:
    """Write a test event for one endpoint, whatever it wants to know. Raises UnableToHook: unknown, off."""
    endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id).first()
    if endpoint is None:
        raise UnableToHook("unknown")
    if endpoint.switched_off_at is not None:
        raise UnableToHook("off")
    return WebhookEvent.objects.create(
        key=f"{WebhookType.TEST}:{secrets.token_hex(8)}",
        type=WebhookType.TEST,
        stream=f"endpoint:{endpoint_id}",
        payload={"endpoint": endpoint_id},
        created_at=now,
        only_for=endpoint,
    )


def secret_of(*, kept: WebhookSecret) -> str:
    """Compute a secret anew. Raises UnableToHook("key") where the site's key is another one now."""
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        secret = _secret(str(key), kept.salt)
        if hmac.compare_digest(_digest(secret), kept.digest):
            return secret
    raise UnableToHook("key")


def secrets_of(*, endpoint_id: int, now: datetime) -> list[str]:
    """Return what an endpoint's messages are signed with now, newest first. Raises UnableToHook: key."""
    return [secret_of(kept=one) for one in WebhookSecret.objects.all().signing_at(now).filter(endpoint=endpoint_id)]


def _new_secret(endpoint_id: int, now: datetime) -> str:
    salt = secrets.token_hex(32)
    secret = _secret(str(settings.SECRET_KEY), salt)
    WebhookSecret.objects.create(
        endpoint_id=endpoint_id, salt=salt, digest=_digest(secret), tail=secret[-5:-1], created_at=now
    )
    return secret


def _secret(key: str, salt: str) -> str:
    return PREFIX + b64encode(hmac.digest(key.encode(), f"webhook:{salt}".encode(), "sha256")).decode()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
