"""A newcomer follows a friend's link, and ends with credit."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.people import enter_code

# One server is enough for both, where pytest-xdist is told to keep groups together.
pytestmark = pytest.mark.xdist_group("browser")


def test_newcomer_follows_a_link_and_gets_welcome_credit(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sign in as the referrer").click()
    link = page.get_by_role("textbox", name="Your link").input_value()
    before = page.get_by_role("row").count()
    page.get_by_role("button", name="Sign out").click()
    if "logout" in page.url:
        page.get_by_role("button", name="Sign out").last.click()

    page.goto(link)
    expect(page.get_by_role("heading", name="A friend invites you")).to_be_visible()
    page.get_by_label("Email").fill("nadia@example.com")
    page.get_by_label("Password").fill("a meadow of blue herons")
    page.get_by_label("Country").select_option("PT")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Confirm your e-mail address")).to_be_visible()

    enter_code(page, "nadia@example.com")
    page.goto("/console/coupons/")
    expect(page.get_by_role("row", name=re.compile("Welcome credit.*\\$5.00"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Free trial.*\\$300.00"))).to_be_visible()

    page.context.clear_cookies()
    page.goto("/")
    page.get_by_role("button", name="Sign in as the referrer").click()
    assert page.get_by_role("row").count() == before + 1
