"""The console by keyboard alone, and for those who want less motion."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize, expect

from tests.browser.people import come_as

pytestmark = pytest.mark.xdist_group("browser")

PHONE: ViewportSize = {"width": 390, "height": 844}
# Of the focused element: what it is called, and whether it can be seen to have the focus.
FOCUSED = "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || '').trim()"
IS_OUTLINED = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
MOST_STEPS = 60


@pytest.fixture
def referrer(context: BrowserContext) -> Page:
    return come_as(context, "referrer")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of this name has the focus; whatever has it on the way is outlined."""
    passed: list[str] = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        passed.append(str(page.evaluate(FOCUSED)).splitlines()[0] if page.evaluate(FOCUSED) else "")
        assert page.evaluate(IS_OUTLINED), f"{passed[-1]} has the focus, and one cannot see it"
        if passed[-1] == name:
            return
    pytest.fail(f"{name} is not reached: {passed}")


def test_the_first_stop_skips_to_the_content(referrer: Page) -> None:
    referrer.goto("/console/coupons/")
    referrer.keyboard.press("Tab")
    skip = referrer.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    referrer.keyboard.press("Enter")
    referrer.keyboard.press("Tab")
    expect(referrer.get_by_role("link", name="All coupons as CSV")).to_be_focused()


def test_a_customer_copies_the_link_without_a_mouse(context: BrowserContext, referrer: Page) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab_to(referrer, "Console")
    referrer.keyboard.press("Enter")
    referrer.wait_for_url("**/console/")
    tab_to(referrer, "Refer a Friend")
    referrer.keyboard.press("Enter")
    referrer.wait_for_url("**/console/refer/")
    tab_to(referrer, "Copy link")
    referrer.keyboard.press("Enter")
    expect(referrer.get_by_text("The link is copied.")).to_be_visible()
    link = referrer.get_by_role("textbox", name="Your link").input_value()
    assert referrer.evaluate("navigator.clipboard.readText()") == f"{link}?via=copy"


def test_the_menu_of_a_phone_opens_and_leads_on_by_keyboard(referrer: Page) -> None:
    referrer.set_viewport_size(PHONE)
    referrer.goto("/console/refer/")
    menu = referrer.get_by_role("navigation", name="Console", exact=True).locator("summary")
    expect(menu).to_contain_text("Refer a Friend")
    assert menu.evaluate("element => element.closest('nav').getBoundingClientRect().height") < PHONE["height"] / 4
    expect(referrer.get_by_role("link", name="Orders")).to_be_hidden()
    menu.focus()
    referrer.keyboard.press("Enter")
    tab_to(referrer, "Orders")
    referrer.keyboard.press("Enter")
    referrer.wait_for_url("**/console/orders/")
    expect(referrer.locator(".console__menu summary")).to_contain_text("Orders")


def test_tabs_keep_the_address_the_focus_and_the_way_back(referrer: Page) -> None:
    referrer.goto("/console/coupons/")
    loads: list[str] = []
    referrer.on("load", lambda page: loads.append(page.url))
    tab_to(referrer, "Revoked 1")
    referrer.keyboard.press("Enter")
    referrer.wait_for_url("**/console/coupons/?show=revoked")
    revoked = referrer.get_by_role("link", name="Revoked 1")
    expect(revoked).to_have_attribute("aria-current", "page")
    expect(revoked).to_be_focused()
    assert loads == []
    referrer.go_back()
    expect(referrer.get_by_role("link", name="Usable 4")).to_have_attribute("aria-current", "page")
    assert referrer.url.endswith("/console/coupons/")
    referrer.go_forward()
    expect(referrer.get_by_role("link", name="Revoked 1")).to_have_attribute("aria-current", "page")


def test_an_order_is_chosen_and_paid_without_a_mouse(referrer: Page) -> None:
    referrer.goto("/console/catalogue/?q=private+cloud")
    tab_to(referrer, "Quantity of Virtual Private Cloud")
    referrer.keyboard.type("1")
    tab_to(referrer, "Go to checkout")
    # What was chosen is counted meanwhile, and the button keeps the focus.
    expect(referrer.locator("#basket")).to_contain_text("1 product · $1.00")
    expect(referrer.get_by_role("button", name="Go to checkout")).to_be_focused()
    referrer.keyboard.press("Enter")
    referrer.wait_for_url("**/console/checkout/**")
    tab_to(referrer, "Order now")
    referrer.keyboard.press("Enter")
    referrer.wait_for_url("**/console/orders/*/")
    expect(referrer.locator(".heading .badge")).to_have_text("Paid")


def test_nothing_moves_for_those_who_want_no_motion(referrer: Page) -> None:
    moving = """[...document.querySelectorAll('*')].filter(element => {
        const style = getComputedStyle(element)
        return style.animationName !== 'none' || style.transitionDuration.split(',').some(time => parseFloat(time) > 0)
    }).length"""
    for address in ("/", "/console/refer/", "/console/coupons/", "/console/catalogue/", "/dev/components/"):
        referrer.emulate_media(reduced_motion="no-preference")
        referrer.goto(address)
        assert referrer.evaluate(moving) > 0
        referrer.emulate_media(reduced_motion="reduce")
        assert referrer.evaluate(moving) == 0, address
