"""Where webhooks go: public https addresses, whatever a name says, unless the setting allows others."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from accounts.webhook_addresses import UnableToReach, addresses_of, is_public, target_of
from accounts.webhook_posting import Message, post
from tests.receiving import certificate_for, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def message(url: str) -> Message:
    return Message(url, "evt_1", "{}", [SECRET])


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "203.0.114.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
)
def test_public_addresses_are(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        # unspecified, loopback, private, link-local, CGNAT, documentation, benchmarking, multicast, reserved, broadcast
        "0.0.0.0", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
        "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1",
        "192.0.0.8", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        # and their like in IPv6
        "::", "::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "3fff::1", "2001:db8::1", "100::1",
        "2001::1", "5f00::1", "4000::1",
        # an IPv4 address within: mapped, compatible, 6to4, translated
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::1",
        "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::7f00:1",
    ],
)  # fmt: skip
def test_all_others_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("javascript:alert(1)", "url"),
        ("https:///path", "url"),
        ("example.com/hooks", "url"),
        ("https://user:secret@example.com/", "url"),
        ("https://example.com/#part", "url"),
        ("https://example.com:0/", "url"),
        ("https://example.com/\nhost: other", "url"),
        ("https://exämple.com/", "url"),
        ("https://" + "a" * 500, "url"),
        ("https://127.0.0.1/", "address"),
        ("https://10.1.2.3:8443/hooks", "address"),
        ("https://[::1]/", "address"),
        ("https://[::ffff:127.0.0.1]/", "address"),
        ("https://[fe80::1]/", "address"),
    ],
)
def test_endpoint_is_a_public_https_address(url: str, code: str) -> None:
    with pytest.raises(UnableToReach) as refusal:
        target_of(url)
    assert refusal.value.code == code


def test_address_is_taken_apart() -> None:
    target = target_of("https://Example.com:8443/hooks/in?key=1")
    assert (target.host, target.port, target.path, target.authority) == (
        "example.com", 8443, "/hooks/in?key=1", "example.com:8443",
    )  # fmt: skip
    assert target_of("https://example.com").path == "/"
    assert target_of("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
def test_name_that_leads_to_this_machine_is_refused_when_a_message_is_sent(name: str) -> None:
    """However it is written: the resolver reads these as 127.0.0.1."""
    with receiving() as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        assert post(message(f"https://{name}:{port}")).error == "address"
    assert receiver.letters == []


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let each look-up of a name have the next of these answers; return the names that were looked up."""
    really = socket.getaddrinfo
    looked_up: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host[0].isdigit():
            return really(host, port, *args, **options)
        looked_up.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


def test_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["1.1.1.1", "192.168.0.1"])
    with pytest.raises(UnableToReach, match="public"):
        addresses_of(target_of("https://hooks.example.com/"))


def test_name_that_has_no_address_is_refused(settings: Settings) -> None:
    assert post(message("https://no-such-name.invalid/")).error == "name"


def test_name_is_looked_up_once_and_the_connection_made_to_that_very_address(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    """A name that leads elsewhere the next time it is asked leads nowhere."""
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    tls, settings.WEBHOOKS_CA_FILE = certificate_for("hooks.example.com", tmp_path)
    with receiving(tls, "hooks.example.com") as receiver:
        looked_up = resolve_to(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        assert post(message(receiver.url)).status == 204
    assert looked_up == ["hooks.example.com"]
    (letter,) = receiver.letters
    assert letter.headers["host"].startswith("hooks.example.com:")


def test_second_address_is_tried_where_nobody_is_at_the_first(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    with receiving(name="hooks.example.com") as receiver:
        resolve_to(monkeypatch, ["127.0.0.9", "127.0.0.1"])
        assert post(message(receiver.url)).status == 204


def test_certificate_of_another_name_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    tls, settings.WEBHOOKS_CA_FILE = certificate_for("other.example.com", tmp_path)
    with receiving(tls, "localhost") as receiver:
        assert post(message(receiver.url)).error == "tls"
    assert receiver.letters == []


def test_certificate_that_nobody_vouches_for_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    tls, _ = certificate_for("localhost", tmp_path)
    with receiving(tls, "localhost") as receiver:
        assert post(message(receiver.url)).error == "tls"
    assert receiver.letters == []


def test_control_the_certificate_of_the_name_is_taken(settings: Settings, tmp_path: Path) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    tls, settings.WEBHOOKS_CA_FILE = certificate_for("localhost", tmp_path)
    with receiving(tls, "localhost") as receiver:
        assert post(message(receiver.url)).status == 204


def test_redirect_is_not_followed(settings: Settings) -> None:
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    with receiving() as other, receiving() as receiver:
        receiver.answer = lambda letter: (302, {"location": other.url})
        assert post(message(receiver.url)).status == 302
    assert other.letters == []


def test_proxy_of_the_environment_is_not_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect where nobody has looked."""
    settings.WEBHOOKS_ALLOW_PRIVATE = True
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with receiving() as receiver:
        assert post(message(receiver.url)).status == 204
