"""Every word that a customer reads is marked for translation, and what is translated is compiled."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel import Locale
from babel.messages import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings as site_settings
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from billing.models import Product, SpendEvent
from credits.models import Redemption
from referral_site.demo.story import FRIEND, REFERRER, load_demo
from referrals.models import ReferralLink
from tests.site_map import walk
from tests.wording import ROOT, speak_in_brackets, unmarked, worded_templates, words_in, words_of_its_own

PASSWORD = "refer-a-friend"

# Read by staff and by developers, in English.
NOT_FOR_CUSTOMERS = ("admin/", "demo/", "dev/")

# The rest of the site, until it is marked: an entry whose template is marked fails, so that this list only shrinks.
NOT_YET_MARKED = {
    "account/account_inactive.html",
    "account/base_reauthenticate.html",
    "account/confirm_email_verification_code.html",
    "account/email/account_already_exists_message.txt",
    "account/email/account_already_exists_subject.txt",
    "account/email/base_notification.txt",
    "account/email/email_confirmation_message.txt",
    "account/email/email_confirmation_subject.txt",
    "account/email/password_changed_message.txt",
    "account/email/password_changed_subject.txt",
    "account/email/password_reset_key_message.txt",
    "account/email/password_reset_key_subject.txt",
    "account/email/password_reset_message.txt",
    "account/email/password_reset_subject.txt",
    "account/email/password_set_message.txt",
    "account/email/password_set_subject.txt",
    "account/email/unknown_account_message.txt",
    "account/email/unknown_account_subject.txt",
    "account/login.html",
    "account/logout.html",
    "account/messages/email_confirmed.txt",
    "account/messages/logged_out.txt",
    "account/messages/password_changed.txt",
    "account/messages/password_set.txt",
    "account/password_change.html",
    "account/password_reset.html",
    "account/password_reset_done.html",
    "account/password_reset_from_key.html",
    "account/password_reset_from_key_done.html",
    "account/password_set.html",
    "account/reauthenticate.html",
    "account/signup.html",
    "mfa/authenticate.html",
    "mfa/email/recovery_codes_generated_message.txt",
    "mfa/email/recovery_codes_generated_subject.txt",
    "mfa/email/totp_activated_message.txt",
    "mfa/email/totp_activated_subject.txt",
    "mfa/email/totp_deactivated_message.txt",
    "mfa/email/totp_deactivated_subject.txt",
    "mfa/index.html",
    "mfa/messages/recovery_codes_generated.txt",
    "mfa/messages/totp_activated.txt",
    "mfa/messages/totp_deactivated.txt",
    "mfa/reauthenticate.html",
    "mfa/recovery_codes/generate.html",
    "mfa/recovery_codes/index.html",
    "mfa/totp/activate_form.html",
    "mfa/totp/deactivate_form.html",
    "referrals/_sign_up_form.html",
    "referrals/console/_event.html",
    "referrals/console/_link.html",
    "referrals/console/_next.html",
    "referrals/console/_reckoning.html",
    "referrals/console/_sentence.html",
    "referrals/console/_steps.html",
    "referrals/console/friend.html",
    "referrals/console/refer.html",
    "referrals/landing.html",
    "referrals/link.html",
}

# Worded in Python, or handed over by a filter, and not marked yet.
NOT_YET_MARKED_IN_CODE = {
    "Under review",
    "more is under review",
    "At least 8 characters, and nothing that is easily guessed.",
    "Country",
    "Name",
    "Choose a country",
    "Leave it empty if nobody invited you.",
}

# Names, which are the same in every language.
NAMES = words_in("WhatsApp Facebook LinkedIn Telegram Slack QR PNG SVG CSV English Deutsch Visa Mastercard API")


@pytest.fixture
def demo(settings: Settings, transactional_db: None) -> None:
    settings.DEMO = True
    settings.DEMO_PASSWORD = PASSWORD
    load_demo(now=datetime.now(UTC))


@pytest.fixture
def brackets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        speak_in_brackets(patch)
        yield


def test_what_stands_in_templates_is_marked() -> None:
    worded = {name: words for name, words in worded_templates().items() if not name.startswith(NOT_FOR_CUSTOMERS)}
    unexpected = {name: words for name, words in worded.items() if name not in NOT_YET_MARKED}
    assert not unexpected, "\n".join(f"templates/{name}: {words}" for name, words in unexpected.items())
    assert set(NOT_YET_MARKED) - set(worded) == set(), "marked by now: take it off the list"


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
        if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("text/html"):
            return None
        found[address] = answer.content.decode()
        return found[address]

    walk(fetch, more=more)
    return found


def vocabulary() -> set[str]:
    """The words that are data, and those of what is not marked yet."""
    data = [
        str(site_settings.OPERATOR_NAME),
        *Product.objects.values_list("name", flat=True),
        *Product.objects.values_list("family", flat=True),
        *User.objects.values_list("email", flat=True),
        *SpendEvent.objects.values_list("event_id", flat=True),
        *Redemption.objects.values_list("redemption_id", flat=True),
        *Locale("en").territories.values(),
        *zoneinfo.available_timezones(),
        *NOT_YET_MARKED_IN_CODE,
    ]
    worded = (piece for name in NOT_YET_MARKED for piece in words_of_its_own(name))
    return NAMES.union(*map(words_in, data), *map(words_in, worded))


@pytest.mark.parametrize("path", sorted((ROOT / "locale").glob("*/LC_MESSAGES/*.po")), ids=lambda path: path.parts[-3])
def test_the_compiled_messages_are_those_of_their_source(path: Path) -> None:
    """`make messages` compiles them, and they are kept: a bare machine needs no gettext."""
    with path.open("rb") as source, path.with_suffix(".mo").open("rb") as compiled:
        assert translations(read_mo(compiled)) == translations(read_po(source))


def translations(catalog: Catalog) -> dict[str, str]:
    """What is translated in a catalog, and to what."""
    pairs = [(_tuple(message.id), _tuple(message.string)) for message in catalog if not message.fuzzy]
    # A plural without a translation is compiled to itself.
    return {str(key): str(text) for key, text in pairs if any(key) and any(text) and key != text}


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
