"""What a customer was known by, kept as keyed digests (TERMS: When things change)."""

import hashlib
import hmac
from datetime import datetime

from django.conf import settings

from accounts.models import KnownIdentifier


def card_digest(*, gateway: str, fingerprint: str) -> str:
    """Return the keyed digest of a card, by which its gateway knows it again: the same for whoever enters the card."""
    return keyed_digest(f"card|{gateway}|{fingerprint}")


def keyed_digest(text: str) -> str:
    """Return a digest that nobody can compute or search for without the key."""
    return hmac.new(settings.IDENTITY_DIGEST_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def remember_identifier(*, kind: str, digest: str, customer_id: int, now: datetime) -> None:
    """Remember that a customer was known by this; what is remembered already stays. It outlives the account.

    For the operation that brings it.
    """
    KnownIdentifier.objects.bulk_create(
        [KnownIdentifier(kind=kind, digest=digest, customer_id=customer_id, recorded_at=now)], ignore_conflicts=True
    )
