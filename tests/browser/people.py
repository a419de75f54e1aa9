"""The people of the demo before a browser: each comes in as a person would."""

import re
import secrets
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

PASSWORD = "a meadow of blue herons"
DEMO_PASSWORD = "refer-a-friend"


def come_as(context: BrowserContext, who: str) -> Page:
    """Return a page on which `who` is signed in, by address and password, or has come as far as they come."""
    page = context.new_page()
    READERS[who](page)
    return page


def visit(page: Page) -> None:
    page.goto("/")


def sign_in(page: Page, address: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(address)
    page.get_by_label("Password").fill(DEMO_PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("button", name=re.compile("Sign out|Log out"))).to_be_visible()


def sign_in_twice(page: Page, address: str) -> None:
    """Sign in, and prove it once more, as the pages of a second factor ask for."""
    sign_in(page, address)
    page.goto("/accounts/reauthenticate/?next=/accounts/2fa/")
    page.get_by_label("Password").fill(DEMO_PASSWORD)
    page.get_by_role("main").locator("button[type=submit]").click()
    page.wait_for_url("**/accounts/2fa/")


def begin_to_sign_up(page: Page, address: str) -> None:
    """Fill in whatever the form asks for, up to the page that asks for the code."""
    page.goto("/accounts/signup/")
    form = page.locator("form[action*=signup]")
    for field in form.locator("input[required], select[required]").all():
        kind = field.get_attribute("type") or "select"
        if kind == "email":
            field.fill(address)
        elif kind == "password":
            field.fill(PASSWORD)
        elif kind == "checkbox" or (kind == "radio" and not form.locator("input[type=radio]:checked").count()):
            field.check()
        elif kind == "select":
            field.select_option(index=1)
    form.locator("button[type=submit]").click()
    expect(page.get_by_label("Code")).to_be_visible()


def new_address(name: str) -> str:
    """An address that nobody has signed up with: tests come to one site, in any order."""
    return f"{name}.{secrets.token_hex(4)}@example.com"


def sign_up(page: Page, address: str) -> None:
    begin_to_sign_up(page, address)
    enter_code(page, address)


def enter_code(page: Page, address: str) -> None:
    """Read the code in the demo's mail, in another tab."""
    mail = page.context.new_page()
    mail.goto("/dev/mail/")
    newest = mail.get_by_role("article").filter(has_text=address).first
    found = re.search(r"^\s*([A-Z0-9]{3,}(?:-[A-Z0-9]{3,})?)\s*$", newest.inner_text(), re.MULTILINE)
    assert found, newest.inner_text()
    mail.close()
    page.get_by_label("Code").fill(found.group(1))
    page.get_by_role("main").locator("form:has([name=code]) button[type=submit]").first.click()
    expect(page.get_by_label("Code")).to_have_count(0)


READERS: dict[str, Callable[[Page], None]] = {
    "visitor": visit,
    "unconfirmed": lambda page: begin_to_sign_up(page, new_address("una")),
    "newcomer": lambda page: sign_up(page, new_address("nina")),
    "friend": lambda page: sign_in(page, "friend@example.com"),
    "referrer": lambda page: sign_in_twice(page, "referrer@example.com"),
    "staff": lambda page: sign_in(page, "staff@example.com"),
}
"""Who reads the site, from nobody to staff, and how they come in."""
