"""Every word that a customer reads is marked for translation, and what is translated is compiled."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel import Locale
from babel.messages import Catalog, Message
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings as site_settings
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from billing.models import Order, Product, SpendEvent
from credits.models import Redemption
from referral_site.demo.story import FRIEND, REFERRER, load_demo
from referrals.models import ReferralLink
from referrals.pages import page_of, parts_of
from tests.site_map import walk
from tests.wording import ROOT, speak_in_brackets, unmarked, worded_templates, words_in

PASSWORD = "refer-a-friend"

# Read by staff and by developers, in English.
NOT_FOR_CUSTOMERS = ("admin/", "demo/", "dev/")

# Names, which are the same in every language.
NAMES = words_in(
    "WhatsApp Facebook LinkedIn Telegram Slack QR PNG SVG CSV English Deutsch Visa Mastercard API "
    "referral sessionid csrftoken messages"
)


@pytest.fixture
def demo(settings: Settings, transactional_db: None) -> None:
    settings.DEMO = True
    settings.DEMO_PASSWORD = PASSWORD
    load_demo(now=datetime.now(UTC))


@pytest.fixture
def brackets() -> Iterator[None]:
    forget_pages()
    with pytest.MonkeyPatch.context() as patch:
        speak_in_brackets(patch)
        yield
    forget_pages()


def forget_pages() -> None:
    """Let every page of an invitation be written anew."""
    page_of.cache_clear()
    parts_of.cache_clear()


def test_what_stands_in_templates_is_marked() -> None:
    theirs = {name: pieces for name, pieces in worded_templates().items() if not name.startswith(NOT_FOR_CUSTOMERS)}
    unknown = {name: [piece for piece in pieces if words_in(piece) - NAMES] for name, pieces in theirs.items()}
    worded = {name: pieces for name, pieces in unknown.items() if pieces}
    assert not worded, "\n".join(f"templates/{name}: {words}" for name, words in worded.items())


@pytest.mark.usefixtures("brackets")
@pytest.mark.parametrize("who", ["visitor", REFERRER, FRIEND])
def test_what_stands_on_pages_is_marked(demo: None, settings: Settings, who: str) -> None:
    settings.DEMO = False  # what only the demo shows is not for customers
    client = Client()
    if who != "visitor":
        client.post("/accounts/login/", {"login": who, "password": PASSWORD})
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    code = ReferralLink.objects.values_list("code", flat=True)[0]
    known, found = vocabulary(), {}
    for address, text in pages(client, [f"/r/{code}/", "/r/nobody/"]).items():
        pieces = [piece for piece in unmarked(text) if words_in(piece) - known]
        if pieces:
            found[address] = pieces
    assert not found, "\n".join(f"{address}: {pieces}" for address, pieces in found.items())


def pages(client: Client, more: list[str]) -> dict[str, str]:
    """All pages that the client's reader finds, as they are."""
    found: dict[str, str] = {}

    def fetch(address: str) -> str | None:
        answer = client.get(address)
        if (
            address.startswith("/api/")
            or answer.status_code != 200
            or not answer.headers["Content-Type"].startswith("text/html")
        ):
            return None
        found[address] = answer.content.decode()
        return found[address]

    walk(fetch, more=more)
    return found


def vocabulary() -> set[str]:
    """The words that are data."""
    data = [
        str(site_settings.OPERATOR_NAME),
        *Product.objects.values_list("name", flat=True),
        *Product.objects.values_list("family", flat=True),
        *User.objects.values_list("email", flat=True),
        *User.objects.values_list("account_id", flat=True),
        *Order.objects.values_list("number", flat=True),
        *SpendEvent.objects.values_list("event_id", flat=True),
        *Redemption.objects.values_list("redemption_id", flat=True),
        *Locale("en").territories.values(),
        *zoneinfo.available_timezones(),
    ]
    return NAMES.union(*map(words_in, data))


@pytest.mark.parametrize("path", sorted((ROOT / "locale").glob("*/LC_MESSAGES/*.po")), ids=lambda path: path.parts[-3])
def test_the_compiled_messages_are_those_of_their_source(path: Path) -> None:
    """`make messages` compiles them, and they are kept: a bare machine needs no gettext."""
    with path.open("rb") as source, path.with_suffix(".mo").open("rb") as compiled:
        assert translations(read_mo(compiled)) == translations(read_po(source))


def translations(catalog: Catalog) -> dict[str, str]:
    """What is translated in a catalog, and to what."""
    clear = [message for message in catalog if not message.fuzzy]
    entries = [(_context(message), _tuple(message.id), _tuple(message.string)) for message in clear]
    # A plural without a translation is compiled to itself.
    return {f"{context} {key}": str(text) for context, key, text in entries if any(key) and any(text) and key != text}


def _context(message: Message) -> str:
    """What tells a message from another of the same words; of a compiled one, Babel gives it as bytes."""
    context: str | bytes = message.context or ""
    return context.decode() if isinstance(context, bytes) else context


def _tuple(text: object) -> tuple[object, ...]:
    return tuple(text) if isinstance(text, (list, tuple)) else (text,)


@pytest.mark.usefixtures("brackets")
@pytest.mark.parametrize(
    ("page", "pieces"),
    [
        ("<p>⟦All is marked⟧</p>", []),
        ("<p>⟦All of it, ⟦nested⟧ too⟧</p>", []),
        ("<p>⟦It is⟧ not</p>", ["not"]),
        ('<nav aria-label="Pages"></nav>', ["Pages"]),
        ('<input type="submit" value="Send">', ["Send"]),
        ('<input type="text" value="typed">', []),
        ('<meta property="og:title" content="A title">', ["A title"]),
        ("<p>$5.00 · 5 → 1</p>", []),
        ("<script>let word = 1</script>", []),
    ],
)
def test_what_is_not_marked_is_found(page: str, pieces: list[str]) -> None:
    assert unmarked(page) == pieces
