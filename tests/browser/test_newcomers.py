"""Newcomers in a real browser, on a site of the test's own, so that it can make links, cookies and referrers."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.signing import get_cookie_signer
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright

from accounts.models import User
from referrals.models import Referral
from referrals.operations import switch_link_off
from referrals.visits import COOKIE, SALT
from tests.browser.product import SWITCHES
from tests.facts import register
from tests.newcomers import NOW, PASSWORD, mailed_code, referrer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
MOST_BYTES = 60_000
MOST_REQUESTS = 5


@pytest.fixture
def opened(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Page]]:
    """Opens a browser of its own each time. Whatever a browser complains of fails the test."""
    # Playwright's loop runs in this thread, and Django takes it for a view's.
    monkeypatch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)

        def open_browser(**options: Any) -> Page:
            context: BrowserContext = browser.new_context(base_url=live_server.url, **options)
            context.set_default_timeout(20_000)
            context.on("console", lambda said: complaints.append(said.text))
            context.on("weberror", lambda fault: complaints.append(str(fault.error)))
            return context.new_page()

        yield open_browser
        browser.close()
    assert complaints == []


def fill_in(page: Page, email: str, *, code: str | None = None, account_type: str = "Individual") -> None:
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label(account_type).check()
    page.get_by_label("Country").select_option("PT")
    if code is not None:
        page.get_by_label("Referral code").fill(code)
    page.get_by_role("button", name="Sign up").click()


def confirm(page: Page) -> None:
    expect(page.get_by_role("heading", name="Confirm your e-mail address")).to_be_visible()
    page.get_by_label("Code").fill(mailed_code())
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/console/**")


def referrer_of(email: str) -> User | None:
    referral = Referral.objects.filter(friend__email=email).select_related("referrer").first()
    return referral.referrer if referral else None


def remembered(page: Page, value: str) -> None:
    """Let the browser remember what it never was given."""
    page.context.add_cookies([{"name": COOKIE, "value": value, "url": page.evaluate("location.origin")}])


def test_friend_follows_the_link_on_a_phone_and_signs_up_at_a_desk_with_the_code(opened: Callable[..., Page]) -> None:
    link = referrer("alice")
    phone = opened(**PHONE)
    phone.goto(f"/r/{link.code}?via=whatsapp")
    expect(phone.get_by_role("heading", name="A friend invites you")).to_be_visible()
    expect(phone.get_by_role("heading", name="What the one who invited you will see")).to_be_visible()
    code = phone.get_by_label("Referral code").input_value()
    assert code == link.code

    desk = opened()
    desk.goto("/accounts/signup/")
    fill_in(desk, "bob@example.com", code=code, account_type="Enterprise")
    confirm(desk)
    assert referrer_of("bob@example.com") == link.owner
    assert User.objects.get(email="bob@example.com").declared_type == "enterprise"


def test_friend_signs_up_on_the_page_of_the_link(opened: Callable[..., Page]) -> None:
    link, page = referrer("alice"), opened(**PHONE)
    page.goto(f"/r/{link.code}/")
    fill_in(page, "bob@example.com")
    confirm(page)
    assert referrer_of("bob@example.com") == link.owner


def test_friend_signs_up_without_javascript(opened: Callable[..., Page]) -> None:
    link, page = referrer("alice"), opened(java_script_enabled=False)
    page.goto(f"/r/{link.code}/")
    fill_in(page, "bob@example.com")
    confirm(page)
    assert referrer_of("bob@example.com") == link.owner


def test_link_that_is_switched_off_gives_the_trial_and_no_referrer(opened: Callable[..., Page]) -> None:
    link, page = referrer("alice"), opened()
    switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    page.goto(f"/r/{link.code}/")
    expect(page.get_by_role("heading", name="This link is not active")).to_be_visible()
    expect(page.get_by_text("It brings no welcome credit.")).to_be_visible()
    fill_in(page, "bob@example.com")
    confirm(page)
    assert referrer_of("bob@example.com") is None


def test_of_two_referrers_the_link_visited_last_wins(opened: Callable[..., Page]) -> None:
    alice, ann, page = referrer("alice"), referrer("ann"), opened()
    page.goto(f"/r/{alice.code}/")
    page.goto(f"/r/{ann.code}/")
    page.get_by_role("link", name="Sign up").first.click()
    fill_in(page, "bob@example.com")
    confirm(page)
    assert referrer_of("bob@example.com") == ann.owner


def test_code_that_is_typed_wins_and_a_wrong_one_keeps_the_form(opened: Callable[..., Page]) -> None:
    alice, ann, page = referrer("alice"), referrer("ann"), opened()
    page.goto(f"/r/{alice.code}/")
    fill_in(page, "bob@example.com", code="wrong", account_type="Enterprise")
    expect(page.get_by_text("No link with this code is active.")).to_be_visible()
    assert page.get_by_label("Email").input_value() == "bob@example.com"
    expect(page.get_by_label("Enterprise")).to_be_checked()
    fill_in(page, "bob@example.com", code=ann.code)
    confirm(page)
    assert referrer_of("bob@example.com") == ann.owner


def test_code_that_is_cleared_means_no_referrer(opened: Callable[..., Page]) -> None:
    link, page = referrer("alice"), opened()
    page.goto(f"/r/{link.code}/")
    fill_in(page, "bob@example.com", code="")
    confirm(page)
    assert referrer_of("bob@example.com") is None


@pytest.mark.parametrize(("days", "code_is_there"), [(29, True), (30, False)])
def test_cookie_counts_for_30_days(opened: Callable[..., Page], days: int, code_is_there: bool) -> None:
    link, page = referrer("alice"), opened()
    page.goto("/")
    visited_at = (timezone.now() - timedelta(days=days)).isoformat()
    remembered(page, get_cookie_signer(salt=COOKIE + SALT).sign(f"{link.code}|{visited_at}"))
    page.goto("/accounts/signup/")
    assert page.get_by_label("Referral code").input_value() == (link.code if code_is_there else "")


def test_cookie_that_was_tampered_with_counts_for_nothing(opened: Callable[..., Page]) -> None:
    alice, ann, page = referrer("alice"), referrer("ann"), opened()
    page.goto(f"/r/{alice.code}/")
    kept = next(one for one in page.context.cookies() if one.get("name") == COOKIE)
    assert (kept["httpOnly"], kept["sameSite"]) == (True, "Lax")
    remembered(page, kept["value"].replace(alice.code, ann.code))
    page.goto("/accounts/signup/")
    assert page.get_by_label("Referral code").input_value() == ""


def give_password(user: User) -> None:
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)


def enter(page: Page, user: User) -> None:
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(page: Page, user: User) -> None:
    give_password(user)
    page.goto("/accounts/login/")
    enter(page, user)
    page.wait_for_url("**/console/**")


def test_own_link_leads_to_the_own_page(opened: Callable[..., Page]) -> None:
    link, page = referrer("alice"), opened()
    sign_in(page, link.owner)
    page.goto(f"/r/{link.code}/")
    page.wait_for_url("**/console/refer/")


def test_existing_customer_has_an_account_already(opened: Callable[..., Page]) -> None:
    link, page = referrer("alice"), opened()
    sign_in(page, register("bob"))
    page.goto(f"/r/{link.code}/")
    expect(page.get_by_role("heading", name="You already have an account")).to_be_visible()
    expect(page.get_by_role("button", name="Sign up")).to_have_count(0)


def test_visitor_who_wants_a_link_signs_in_and_is_told_what_is_missing(opened: Callable[..., Page]) -> None:
    page, bob = opened(), register("bob")
    give_password(bob)
    page.goto("/")
    page.get_by_role("link", name="Get My Referral Link").first.click()
    enter(page, bob)
    page.wait_for_url("**/console/refer/")


def test_questions_open_by_the_keyboard_alone(opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    page.goto("/")
    question = page.get_by_text("How long is credit valid?")
    question.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Each coupon 180 days")).to_be_visible()


def test_first_visit_is_light_and_asks_nobody_else(opened: Callable[..., Page], live_server: Any) -> None:
    link, page = referrer("alice"), opened(**PHONE)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(f"/r/{link.code}/", wait_until="networkidle")
    assert all(answer.url.startswith(f"{live_server.url}/") for answer in answers)
    # The demo adds one for its own style.
    assert len(answers) + 1 <= MOST_REQUESTS
    # In production whitenoise has compressed the files; pages go as they are.
    bodies = [answer.body() if "/r/" in answer.url else gzip.compress(answer.body(), 9) for answer in answers]
    heads = [sum(len(name) + len(value) + 4 for name, value in answer.all_headers().items()) for answer in answers]
    assert sum(map(len, bodies)) + sum(heads) <= MOST_BYTES
    assert "unsafe" not in answers[0].all_headers()["content-security-policy"]


@pytest.mark.parametrize("width", [320, 2560])
def test_pages_fit_any_width(opened: Callable[..., Page], width: int) -> None:
    link = referrer("alice")
    page = opened(viewport={"width": width, "height": 900})
    for address in ("/", "/free-trial/", "/terms/", "/privacy/", "/accounts/signup/", f"/r/{link.code}/", "/r/nobody/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
