"""The site with JavaScript switched off: pages answer, links lead on, forms are sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.people import come_as
from tests.browser.readers import pages_of

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def context(site: str, browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=site, java_script_enabled=False)
    context.set_default_timeout(10_000)
    yield context
    context.close()


def test_every_page_has_its_heading(context: BrowserContext) -> None:
    page = come_as(context, "referrer")
    for address in pages_of(page, "referrer"):
        answer = page.goto(address)
        assert answer
        assert answer.status == 200
        expect(page.get_by_role("heading", level=1), address).to_be_visible()


def test_a_newcomer_signs_up_and_walks_around(context: BrowserContext) -> None:
    page = come_as(context, "newcomer")
    page.goto("/console/coupons/")
    expect(page.get_by_role("table")).to_contain_text("$300.00")
    page.get_by_role("link", name="Expired 0").click()
    page.wait_for_url("**/?show=expired")
    expect(page.get_by_role("heading", name="Nothing has expired")).to_be_visible()
    page.get_by_text("Free trial", exact=True).last.click()
    expect(page.get_by_text("Elastic Compute Service").last).to_be_visible()
    sign_out(page)
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()


def test_what_only_a_script_can_do_is_not_offered(context: BrowserContext) -> None:
    page = come_as(context, "referrer")
    page.goto("/console/refer/")
    expect(page.get_by_role("textbox", name="Your link")).to_be_visible()
    expect(page.get_by_role("button", name="Copy link")).to_be_hidden()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    if "logout" in page.url:
        page.get_by_role("button", name="Sign out").last.click()
