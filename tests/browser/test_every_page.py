"""What holds on every page that any reader finds: nothing for axe, no sideways scroll, an empty console."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.people import READERS, come_as
from tests.browser.product import launch
from tests.browser.readers import pages_of
from tests.site_map import routes, view_of, views_without_a_page

WIDTHS = (320, 390, 768, 1440, 2560)
# In both themes, on a phone and on a desk, with everything unfolded and as it comes.
AXE_RUNS = (("light", 390, True), ("dark", 1440, False))
# Django's own pages are not ours to judge.
NOT_OURS = ("/admin/",)
# Its policy lets no script run, so that a browser would wait for axe for ever.
WITHOUT_SCRIPT = "demo:mail_page"
UNFOLD = "document.querySelectorAll('details').forEach(details => { details.open = true })"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

pytestmark = pytest.mark.xdist_group("browser")


@dataclass
class Findings:
    """What was found on the pages, a line each, and the pages that were looked at."""

    pages: dict[str, list[str]] = field(default_factory=dict)
    axe: list[str] = field(default_factory=list)
    scroll: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def findings(site: str) -> Findings:
    """Look once at every page, as each of its readers."""
    found = Findings()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for who in READERS:
            context = browser.new_context(base_url=site, reduced_motion="reduce")
            walk(context, who, found)
            context.close()
        browser.close()
    return found


def walk(context: BrowserContext, who: str, found: Findings) -> None:
    page = come_as(context, who)
    found.pages[who] = [address for address in pages_of(page, who) if not address.startswith(NOT_OURS)]
    here = [""]
    listen(page, here, found.console)
    for address in found.pages[who]:
        if view_of(address) == WITHOUT_SCRIPT:
            continue
        here[0] = f"{who} {address}"
        look_at(page, address, here[0], found)


def listen(page: Page, here: list[str], console: list[str]) -> None:
    """Note whatever the browser says, and what does not load."""
    page.on("console", lambda said: console.append(f"{here[0]}: {said.type}: {said.text}") if is_ours(said) else None)
    page.on("pageerror", lambda fault: console.append(f"{here[0]}: {fault}"))
    page.on(
        "requestfailed",
        # The icon is fetched last, and aborted where the page is left before.
        lambda request: (
            console.append(f"{here[0]}: {request.url} failed: {request.failure}")
            if not (request.failure == "net::ERR_ABORTED" and request.url.endswith("/favicon.svg"))
            else None
        ),
    )
    page.on(
        "response",
        lambda answer: console.append(f"{here[0]}: {answer.status} {answer.url}") if answer.status >= 400 else None,
    )


def is_ours(said: ConsoleMessage) -> bool:
    """Whether the page is why the browser says it: not of its advice for password managers, which it does not show
    (verbose), nor of axe, which asks the sandboxed frame of a mail and gets no answer."""
    asks_frame = said.type == "warning" and "'postMessage' on 'DOMWindow'" in said.text
    return said.type != "verbose" and not (
        asks_frame and urlsplit(said.page.url if said.page else "").path == "/dev/mail/"
    )


def look_at(page: Page, address: str, where: str, found: Findings) -> None:
    page.goto(address)
    for theme, width, unfolded in AXE_RUNS[::-1]:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        if unfolded:
            page.evaluate(UNFOLD)
        for violation in Axe().run(page).response["violations"]:
            for node in violation["nodes"]:
                found.axe.append(f"{where} ({theme}, {width}): {violation['id']}: {node['html'][:150]}")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if over := page.evaluate(OVERFLOW):
            found.scroll.append(f"{where}: {over} px too wide at {width} px")


def told(lines: list[str]) -> str:
    return f"{len(lines)} in all:\n" + "\n".join(lines[:60])


def test_axe_finds_nothing_in_either_theme(findings: Findings) -> None:
    assert not findings.axe, told(findings.axe)


def test_nothing_scrolls_sideways_at_any_width(findings: Findings) -> None:
    assert not findings.scroll, told(findings.scroll)


def test_the_console_stays_empty(findings: Findings) -> None:
    assert not findings.console, told(findings.console)


def test_every_view_was_looked_at_or_is_no_page(findings: Findings) -> None:
    missing = views_without_a_page([address for pages in findings.pages.values() for address in pages])
    files = {name for name in missing if routes()[name].endswith((".csv", ".png", ".svg"))}
    assert missing - files == set(), "link to them, or say in tests/site_map.py why not"


def test_every_reader_has_pages(findings: Findings) -> None:
    few = {who: len(pages) for who, pages in findings.pages.items() if who not in ("unconfirmed", "staff")}
    assert min(few.values()) >= 10, few
