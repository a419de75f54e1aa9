"""The sixty seconds of the README, before the whole product: real web server, worker, beat, Postgres and Valkey."""

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

STAGES = ("Joined", "Qualified", "Under review", "Refused", "Paid", "Clawed back")
LONGEST_WAIT = 30

# One server is enough for both, where pytest-xdist is told to keep groups together.
pytestmark = pytest.mark.xdist_group("browser")


def test_sixty_seconds_that_convince(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sign in as the referrer").click()
    friends = page.get_by_role("table").first
    for stage in STAGES:
        expect(friends.get_by_text(stage, exact=True).first).to_be_visible()
    expect(friends.get_by_text("$20 arriving in 3 days")).to_be_visible()

    friends.get_by_role("link").first.click()
    friend = page.url
    page.get_by_role("button", name="Friend spends $25").click()
    come_to_see(page, page.get_by_text("$20 arriving in 30 days").first)

    page.get_by_role("link", name="Move the clock", exact=True).click()
    page.get_by_role("button", name="30 days", exact=True).click()
    expect(page.get_by_role("complementary", name="Demo")).to_contain_text("30 days ahead")

    page.goto(friend)
    coupon = page.get_by_role("link", name="Coupon of $20.00")
    come_to_see(page, coupon)
    coupon.click()
    expect(page.get_by_role("heading", name="Payout of $20.00")).to_be_visible()
    why = page.get_by_role("region", name="Why it is $20.00")
    expect(why).to_contain_text("$25.00 ≥ $20.00")
    expect(parts(page)).to_contain_text(re.compile(r"Left\W+20\.00"))
    coupon_page = page.url

    page.goto("/console/coupons/")
    expect(page.get_by_role("link", name="Payout").first).to_be_visible()

    page.goto(friend)
    page.get_by_role("button", name="Refund the purchase of $25.00").click()
    come_to_see(page, page.get_by_role("heading", name="$20.00 of the payout clawed back"))
    expect(page.get_by_text("Clawed back", exact=True).first).to_be_visible()
    page.goto(coupon_page)
    expect(parts(page)).to_contain_text(re.compile(r"Revoked\W+20\.00"))


def parts(page: Page) -> Locator:
    return page.get_by_role("region", name="Where it went")


def come_to_see(page: Page, sought: Locator) -> None:
    """Load the page again and again until the worker has done its part."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not sought.is_visible() and time.monotonic() < deadline:
        time.sleep(0.3)
        page.reload()
    expect(sought).to_be_visible()
