"""What holds of every page: its zone, its markup, and the pages of errors."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.test import Client

from accounts.models import User
from tests.facts import day
from tests.pages import friend_address, read, words
from tests.referring import REFER, alice, bob, settle_at

__all__ = ["alice", "bob"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_times_are_in_the_zone_of_the_reader_which_is_named(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    alice.time_zone = "America/Los_Angeles"
    alice.save(update_fields=["time_zone"])
    page = read(alice, friend_address(bob), at=day(1, 21))
    assert "Friend · joined December 2025" in page
    assert "Due, and earliest arrival 18 Feb 2026, 16:00" in page
    assert "Times are in America/Los_Angeles." in page
    assert "Times are in UTC." in read(bob, REFER)


def test_a_zone_that_nobody_knows_is_utc(alice: User) -> None:
    alice.time_zone = "Mars/Olympus"
    alice.save(update_fields=["time_zone"])
    assert "Times are in UTC." in read(alice, REFER)


@pytest.mark.parametrize("address", [REFER, "/console/coupons/"])
def test_pages_hold_no_inline_style_or_script(alice: User, bob: User, address: str) -> None:
    client = Client()
    client.force_login(alice)
    page = client.get(address).content.decode()
    assert " style=" not in page
    assert "<style" not in page
    assert "<script>" not in page
    assert " onclick=" not in page


@pytest.mark.parametrize("code", [400, 403, 404, 500])
def test_the_page_of_an_error_needs_nothing_but_itself(code: int) -> None:
    page = words(render_to_string(f"{code}.html"))
    assert f"Error {code}" in page
    assert "To the start page" in page
