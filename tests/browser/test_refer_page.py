"""Refer a Friend in a real browser: the link is copied and sent, and friends are listed with and without JavaScript."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

# One server is enough for all, where pytest-xdist is told to keep groups together.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def referrer(page: Page) -> Page:
    """The page as the demo's referrer sees it."""
    page.goto("/")
    page.get_by_role("button", name="Sign in as the referrer").click()
    page.goto("/console/refer/")
    return page


def rows(page: Page) -> list[str]:
    return page.locator("#friends-list tbody a").all_inner_texts()


def test_the_link_is_copied_with_its_mark(referrer: Page) -> None:
    referrer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    link = referrer.get_by_role("textbox", name="Your link").input_value()
    referrer.get_by_role("button", name="Copy link").click()
    expect(referrer.get_by_text("The link is copied.")).to_be_visible()
    assert referrer.evaluate("navigator.clipboard.readText()") == f"{link}?via=copy"


def test_the_links_follow_the_message_as_it_is_written(referrer: Page) -> None:
    expect(referrer.get_by_role("button", name="Use this message")).to_be_hidden()
    referrer.get_by_label("Your message").fill("Costs $& nothing: try")
    whatsapp = referrer.get_by_role("link", name="WhatsApp")
    link = referrer.get_by_role("textbox", name="Your link").input_value()
    text = quote(f"Costs $& nothing: try\n{link}?via=whatsapp", safe="")
    expect(whatsapp).to_have_attribute("href", f"https://wa.me/?text={text}")


def test_the_devices_own_sheet_is_offered_where_there_is_one(referrer: Page) -> None:
    expect(referrer.get_by_role("button", name="More…")).to_be_visible(visible=referrer.evaluate("!!navigator.share"))
    referrer.add_init_script("navigator.share = async (what) => { window.shared = what; };")
    referrer.reload()
    referrer.get_by_label("Your message").fill("Try this")
    referrer.get_by_role("button", name="More…").click()
    shared = referrer.evaluate("window.shared")
    link = referrer.get_by_role("textbox", name="Your link").input_value()
    assert (shared["text"], shared["url"]) == ("Try this", f"{link}?via=device")


def test_a_stage_is_chosen_without_a_new_page_and_going_back_undoes_it(referrer: Page) -> None:
    every = rows(referrer)
    referrer.evaluate("window.stays = true")
    referrer.get_by_label("Stage").select_option("refused")
    expect(referrer.locator("#friends-list tbody tr")).to_have_count(1)
    expect(referrer).to_have_url(re.compile(r"\?stage=refused&sort=$"))
    assert referrer.evaluate("window.stays")
    referrer.go_back()
    expect(referrer.locator("#friends-list tbody tr")).to_have_count(len(every))
    assert rows(referrer) == every
    expect(referrer.get_by_label("Stage")).to_have_value("")
    referrer.go_forward()
    expect(referrer.locator("#friends-list tbody tr")).to_have_count(1)
    expect(referrer.get_by_label("Stage")).to_have_value("refused")
    # What was read stays out of the browser's own store.
    kept = referrer.evaluate("JSON.stringify([{ ...sessionStorage }, { ...localStorage }])")
    assert "Friend ·" not in kept


def test_a_friend_is_found_by_keyboard_alone(referrer: Page) -> None:
    referrer.get_by_label("Order").focus()
    referrer.keyboard.press("End")
    expect(referrer).to_have_url(re.compile("sort=earned"))
    expect(referrer.get_by_label("Order")).to_be_focused()
    referrer.keyboard.press("Tab")
    referrer.keyboard.press("Tab")
    referrer.keyboard.press("Enter")
    expect(referrer.get_by_role("heading", level=1)).to_contain_text("Friend · joined")


def test_everything_works_without_javascript(site: str, page: Page) -> None:
    browser = page.context.browser
    assert isinstance(browser, Browser)
    context = browser.new_context(base_url=site, java_script_enabled=False)
    plain = context.new_page()
    plain.goto("/")
    plain.get_by_role("button", name="Sign in as the referrer").click()
    plain.goto("/console/refer/")
    plain.get_by_label("Stage").select_option("paid")
    plain.get_by_role("button", name="Show").click()
    assert plain.locator("#friends-list tbody tr").count() == plain.locator("#friends-list .badge--good").count() > 0
    plain.get_by_label("Your message").fill("Plain words")
    plain.get_by_role("button", name="Use this message").click()
    assert "Plain%20words" in str(plain.get_by_role("link", name="WhatsApp").get_attribute("href"))
    expect(plain.get_by_role("button", name="Copy link")).to_be_hidden()
    with plain.expect_download() as download:
        plain.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "friends.csv"
    context.close()
