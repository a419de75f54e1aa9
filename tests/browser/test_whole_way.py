"""The whole way: a customer earns the right to refer, a friend on a phone signs up in another browser, spends, and the
referrer recomputes what came of it from the page."""

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.people import PASSWORD, enter_code, sign_up
from tests.browser.test_sixty_seconds import come_to_see

# One server is enough for all, where pytest-xdist is told to keep groups together.
pytestmark = pytest.mark.xdist_group("browser")

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_from_a_first_card_to_a_recomputed_payout(site: str, browser: Browser, context: BrowserContext) -> None:
    referrer = context.new_page()
    sign_up(referrer, "rosa@example.com")
    become_eligible(referrer)
    link = copied_link(context, referrer)

    code = code_on_a_phone(browser, site, link)
    friend = sign_up_elsewhere(browser, site, code)
    friend.goto("/console/coupons/")
    expect(friend.get_by_role("row", name=re.compile("Welcome credit.*\\$5.00"))).to_be_visible()
    expect(friend.get_by_role("row", name=re.compile("Free trial.*\\$300.00"))).to_be_visible()

    referrer.goto("/console/refer/")
    friends = referrer.get_by_role("table").last
    expect(friends.get_by_text("Joined", exact=True)).to_be_visible()
    friends.get_by_role("link").first.click()
    its_page = referrer.url
    referrer.get_by_role("button", name="Friend spends $25").click()
    come_to_see(referrer, referrer.get_by_text("$20 arriving in 30 days").first)

    move_the_clock(referrer, 30)
    referrer.goto(its_page)
    coupon = referrer.get_by_role("link", name="Coupon of $20.00")
    come_to_see(referrer, coupon)
    coupon.click()
    expect(referrer.get_by_role("region", name="Why it is $20.00")).to_contain_text("$25.00 ≥ $20.00")

    move_the_clock(referrer, 90)
    referrer.goto(its_page)
    # 10% of what was spent above $20 in the first 90 days: of $5, $0.50.
    come_to_see(referrer, referrer.get_by_role("link", name="Coupon of $0.50"))
    expect(referrer.get_by_role("main")).to_contain_text("$0.50")
    assert "nils" not in referrer.content()


def become_eligible(page: Page) -> None:
    """Follow the steps that Refer a Friend names, each by its button."""
    page.goto("/console/refer/")
    page.get_by_role("main").get_by_role("link", name=re.compile("payment method", re.IGNORECASE)).first.click()
    page.goto("/console/payment-methods/card/")
    page.get_by_role("textbox", name="Test number").fill("4242 4242 4242 4242")
    page.get_by_label("Month of expiry").select_option(index=1)
    page.get_by_label("Year of expiry").select_option(index=5)
    page.get_by_role("button", name="Put it on file").click()
    expect(page.get_by_text("4242").first).to_be_visible()

    page.goto("/console/verification/")
    page.locator("input[name=account_type][value=individual]").check()
    page.get_by_label("Legal name").fill("Rosa Referrer")
    page.get_by_label("Country of the document").select_option("PT")
    page.get_by_label("Document", exact=True).select_option("passport")
    page.get_by_label("Number of the document").fill("P-7351-ROSA")
    page.get_by_role("main").locator("form button[type=submit]").first.click()
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()


def copied_link(context: BrowserContext, page: Page) -> str:
    """Copy the link by its button, and return what the clipboard holds."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/console/refer/")
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied").first).to_be_visible()
    return str(page.evaluate("navigator.clipboard.readText()"))


def code_on_a_phone(browser: Browser, site: str, link: str) -> str:
    """Follow the link on a phone, and read the code that the page shows."""
    phone = browser.new_context(base_url=site, **PHONE)  # type: ignore[arg-type]
    page = phone.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="A friend invites you")).to_be_visible()
    code = page.get_by_label("Referral code").input_value()
    assert code in link
    phone.close()
    return code


def sign_up_elsewhere(browser: Browser, site: str, code: str) -> Page:
    """Sign up in a browser that never saw the link, with the code typed in."""
    page = browser.new_context(base_url=site).new_page()
    page.goto("/accounts/signup/")
    page.get_by_label("Email").fill("nils@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Country").select_option("PT")
    page.get_by_label("Referral code").fill(code.upper())
    page.get_by_role("button", name="Sign up").click()
    enter_code(page, "nils@example.com")
    return page


def move_the_clock(page: Page, days: int) -> None:
    for _ in range(days // 30):
        page.goto("/dev/clock/")
        page.get_by_role("button", name="30 days", exact=True).click()
        expect(page.get_by_role("complementary", name="Demo")).to_contain_text("days ahead")
