"""A passkey is added, and signs in alone: real browser, its own virtual authenticator, the site's strict CSP."""

import pytest
from playwright.sync_api import Page, expect

# One server is enough for all, where pytest-xdist is told to keep groups together.
pytestmark = pytest.mark.xdist_group("browser")

PASSWORD = "refer-a-friend"


@pytest.fixture
def device(page: Page) -> Page:
    """The page, on a device that keeps passkeys and whose holder agrees to everything."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return page


@pytest.fixture
def address(site: str) -> str:
    """The site by a name: a passkey belongs to one, and to no number."""
    return site.replace("127.0.0.1", "localhost")


def sign_in_as_the_friend(page: Page, address: str) -> None:
    page.goto(f"{address}/accounts/login/")
    page.get_by_label("Email").fill("friend@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()


def enter_the_password_once_more(page: Page) -> None:
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()


def test_passkey_is_added_signs_in_alone_and_is_removed(device: Page, address: str) -> None:
    sign_in_as_the_friend(device, address)
    device.goto(f"{address}/accounts/2fa/")
    device.get_by_role("link", name="Add a passkey").click()
    enter_the_password_once_more(device)
    expect(device.get_by_role("heading", name="Add a passkey")).to_be_visible()
    device.get_by_label("Name").fill("My phone")
    device.get_by_role("button", name="Go on").click()
    expect(device.get_by_text("Your key is added.")).to_be_visible()

    sign_out(device)
    device.goto(f"{address}/accounts/login/")
    device.get_by_role("button", name="Sign in with a passkey").click()
    expect(device.get_by_role("button", name="Sign out")).to_be_visible()

    device.goto(f"{address}/accounts/2fa/webauthn/")
    expect(device.get_by_role("row", name="My phone Passkey")).to_be_visible()
    device.get_by_role("link", name="Remove").click()
    if "reauthenticate" in device.url:
        enter_the_password_once_more(device)
    device.get_by_role("button", name="Remove").click()
    expect(device.get_by_text("Your key is removed.")).to_be_visible()


def test_security_key_is_asked_for_after_the_password(device: Page, address: str) -> None:
    sign_in_as_the_friend(device, address)
    device.goto(f"{address}/accounts/2fa/webauthn/add/")
    enter_the_password_once_more(device)
    device.get_by_label("Sign in with it alone").uncheck()
    device.get_by_role("button", name="Go on").click()
    expect(device.get_by_text("Your key is added.")).to_be_visible()

    sign_out(device)
    device.goto(f"{address}/accounts/login/")
    device.get_by_label("Email").fill("friend@example.com")
    device.get_by_label("Password", exact=True).fill(PASSWORD)
    device.get_by_role("button", name="Sign in", exact=True).click()
    device.get_by_role("button", name="Use a passkey or security key").click()
    expect(device.get_by_role("button", name="Sign out")).to_be_visible()

    device.goto(f"{address}/accounts/2fa/webauthn/")
    device.get_by_role("link", name="Remove").click()
    enter_the_password_once_more(device)
    device.get_by_role("button", name="Remove").click()
    expect(device.get_by_text("Your key is removed.")).to_be_visible()


def test_holder_who_says_no_is_told_so(page: Page, address: str) -> None:
    sign_in_as_the_friend(page, address)
    page.goto(f"{address}/accounts/2fa/webauthn/add/")
    enter_the_password_once_more(page)
    expect(page.get_by_role("heading", name="Add a passkey")).to_be_visible()
    page.evaluate(
        "() => { navigator.credentials.create = () => Promise.reject(new DOMException('', 'NotAllowedError')) }"
    )
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work")
