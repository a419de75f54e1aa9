"""The whole product, as `make run` starts it, and a browser in front of it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.product import DoesNotStart, launch, running_demo


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """The address of the running demo."""
    try:
        with running_demo() as address:
            yield address
    except DoesNotStart as fault:
        pytest.fail(f"The demo does not start:\n{fault}", pytrace=False)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def context(site: str, browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a past, on the running demo. Whatever it complains of fails the test."""
    complaints: list[str] = []
    context = browser.new_context(base_url=site)
    context.set_default_timeout(10_000)
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda fault: complaints.append(str(fault.error)))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
