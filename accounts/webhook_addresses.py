"""Which addresses webhooks may go to: public ones, unless a setting allows others.

A name says nothing: what counts is every address that it has when a message is sent, and the connection is made to one
of those very addresses, so that a name that changes its mind in between leads nowhere.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

MOST_LENGTH = 500

# What carries an IPv4 address in its last 32 bits, and leads there through a translator.
NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = IPv6Network("2000::/3")
# For protocols and documentation: not every Python knows these.
SPECIAL = (IPv4Network("192.0.0.0/24"), IPv6Network("3fff::/20"))

REASONS = {
    "url": "An endpoint is an address like https://example.com/webhooks, of at most 500 characters, without a user "
    "name and without a fragment.",
    "scheme": "Webhooks go to https addresses only.",
    "address": "Webhooks go to public addresses only.",
    "name": "The name of the endpoint has no address.",
}


class UnableToReach(Exception):
    """An address that webhooks do not go to; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


@dataclass(frozen=True)
class Target:
    """An endpoint's address in parts; `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """Take an address apart. Raises UnableToReach: url, scheme, address (where it names one that is not public)."""
    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError) as fault:
        raise UnableToReach("url") from fault
    is_plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MOST_LENGTH
    if not (parts.scheme and parts.host and is_plain) or parts.auth or parts.fragment is not None or parts.port == 0:
        raise UnableToReach("url")
    if parts.scheme not in (("https", "http") if settings.WEBHOOKS_ALLOW_PRIVATE else ("https",)):
        raise UnableToReach("scheme")
    host = parts.host.strip("[]")
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    target = Target(parts.scheme, host, port, parts.request_uri)
    for literal in _literal(host):
        _require_public(literal)
    return target


def addresses_of(target: Target) -> list[str]:
    """Return every address that the host has now. Raises UnableToReach: name; address, where one is not public."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise UnableToReach("name") from fault
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _require_public(ip_address(address))
    return addresses


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet, and so does the one that it stands for, if any."""
    if any(address in network for network in SPECIAL):
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not (address.is_multicast or address.is_reserved)
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address in GLOBAL_UNICAST and address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, 6to4 or translated address leads to."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _literal(host: str) -> Iterator[IPv4Address | IPv6Address]:
    try:
        yield ip_address(host)
    except ValueError:
        return


def _require_public(address: IPv4Address | IPv6Address) -> None:
    if not (settings.WEBHOOKS_ALLOW_PRIVATE or is_public(address)):
        raise UnableToReach("address")
