"""Terms and privacy: the version in force and earlier ones, whose referrals keep which, and the cookies by name."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import User
from referrals.models import ProgrammeTerms
from tests.facts import JANUARY, NOW, day, register
from tests.markup import faults
from tests.newcomers import referrer, sign_up
from tests.pages import read, words

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    """Who referred bob by the first terms, and cem and dan by the second ones."""
    alice = register("alice")
    register("bob", referred_by=alice, at=JANUARY + timedelta(days=1))
    ProgrammeTerms.objects.create(starts_at=day(3, 1), payout=25)
    for name in ("cem", "dan"):
        register(name, referred_by=alice, at=day(3, 1))
    ProgrammeTerms.objects.create(starts_at=day(6, 1), payout=30)
    ProgrammeTerms.objects.create(starts_at=NOW + timedelta(seconds=1), payout=99)
    return alice


def test_versions_are_shown_the_newest_first(alice: User) -> None:
    page = read(alice, "/terms/")
    newest = page.index("In force since 1 Jun 2026, 00:00 UTC in force")
    middle = page.index("From 1 Mar 2026, 00:00 UTC until 1 Jun 2026, 00:00 UTC earlier version")
    assert newest < page.index("Payout $30") < middle < page.index("Payout $25")
    assert middle < page.index("Until 1 Mar 2026, 00:00 UTC earlier version") < page.index("Payout $20")
    assert "$99" not in page


def test_reader_is_told_which_version_each_referral_keeps(alice: User) -> None:
    page = read(alice, "/terms/")
    assert page.count("None of your referrals keeps this version.") == 1
    assert "2 of your referrals keep this version." in page
    assert "1 of your referrals keeps this version." in page
    assert "your own referral" not in page


def test_friend_is_told_which_version_their_own_referral_keeps(alice: User) -> None:
    page = read(User.objects.get(account_id="cem"), "/terms/")
    assert page.count("It is the version of your own referral, too.") == 1
    assert page.index("From 1 Mar") < page.index("your own referral") < page.index("Until 1 Mar")


def test_visitor_sees_the_versions_and_nobody_s_referrals(client: Client) -> None:
    page = client.get("/terms/").content.decode()
    assert faults(page) == []
    assert "In force from the start" in page
    assert "referrals keep" not in page


def test_cookies_are_named_as_they_are_set(client: Client) -> None:
    page = client.get("/privacy/").content.decode()
    assert faults(page) == []
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    sign_up(client, "bob@example.com")
    client.post("/accounts/logout/")
    assert set(client.cookies) >= {"referral", "csrftoken", "sessionid"}
    set_by_name = {*client.cookies, "messages"}  # which the page behind it has shown and emptied again
    assert set(re.findall(r"<code>(\w+)</code>", page)) == set_by_name
    assert "links of that day" in words(page)
