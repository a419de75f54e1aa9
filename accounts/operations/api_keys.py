"""Keys of billing systems: made once, shown once, revoked at once."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.db.models import Q

from accounts.models import ApiKey, User
from accounts.retries import retried

PREFIX = "raf_"
"""What leaked keys are found by."""

SECRET_BYTES = 32
USE_IS_NOTED_EVERY = timedelta(minutes=1)

REASONS = {
    "name": "A key has a name of at most 100 characters.",
    "scope": "A key has at least one scope, and each is one of those listed.",
    "network": "An address range is written like 203.0.113.0/24 or 2001:db8::/32.",
    "expiry": "A key expires in the future.",
}


class UnableToCreateKey(Exception):
    """A key that cannot be made; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


@retried
def create_api_key(
    *,
    name: str,
    scopes: Collection[str],
    networks: Collection[str] = (),
    expires_at: datetime | None = None,
    actor: User | None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make a key, and return what is kept of it and the key itself, which nobody sees again.

    Raises UnableToCreateKey: name, scope, network, expiry.
    """
    if not 1 <= len(name.strip()) <= 100:
        raise UnableToCreateKey("name")
    if not scopes or not set(scopes) <= set(ApiKey.Scope.values):
        raise UnableToCreateKey("scope")
    if expires_at is not None and expires_at <= now:
        raise UnableToCreateKey("expiry")
    ranges = [_network(text) for text in networks]
    secret = f"{PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}"
    key = ApiKey.objects.create(
        name=name.strip(),
        digest=key_digest(secret),
        tail=secret[-4:],
        scopes=sorted(set(scopes)),
        networks=ranges,
        expires_at=expires_at,
        created_by=actor,
        created_at=now,
    )
    return key, secret


@retried
def revoke_api_key(*, key_id: int, now: datetime) -> bool:
    """Let a key in no more, from this instant; return False where that is so already."""
    return bool(ApiKey.objects.filter(pk=key_id, revoked_at=None).update(revoked_at=now))


@retried
def note_use(*, key: ApiKey, now: datetime) -> None:
    """Note when a key was last used, once a minute: a call a row would make every call wait for the one before."""
    if key.last_used_at and key.last_used_at >= now - USE_IS_NOTED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_IS_NOTED_EVERY)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


def key_digest(secret: str) -> str:
    """Return what is kept of a key. It is random enough for a plain hash, which is looked up by index."""
    return hashlib.sha256(secret.encode()).hexdigest()


def may_come_from(*, key: ApiKey, address: str) -> bool:
    """Whether a key is good from an address. One of IPv4 is the same where a server that listens for both writes it as
    IPv6 (`::ffff:203.0.113.9`).
    """
    if not key.networks:
        return True
    try:
        where = ip_address(address)
    except ValueError:
        return False
    where = getattr(where, "ipv4_mapped", None) or where
    return any(where in _range_of(network) for network in key.networks)


def _range_of(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return ip_network(f"{mapped}/{network.prefixlen - 96}") if mapped and network.prefixlen >= 96 else network


def _network(text: str) -> str:
    try:
        return str(_range_of(text.strip()))
    except ValueError as fault:
        raise UnableToCreateKey("network") from fault
