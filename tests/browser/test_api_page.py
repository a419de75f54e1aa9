"""The API's page with its calls unfolded, which no link leads to: nothing for axe, no sideways scroll."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("browser")

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {node['html'][:150]}" for fault in found for node in fault["nodes"]]


def press_all(page: Page, control: str) -> None:
    for one in page.locator(control).all():
        one.click()


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (1440, "dark")])
def test_axe_finds_nothing_on_calls_that_are_unfolded_and_tried(page: Page, width: int, theme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    page.goto("/api/v1/docs")
    calls = page.locator(".opblock")
    expect(calls.first).to_be_visible()
    press_all(page, ".opblock-summary-control")
    expect(page.locator(".opblock.is-open")).to_have_count(calls.count())
    # The examples are drawn after the calls.
    expect(page.locator(".body-param__example, .example").first).to_be_visible()
    assert violations(page) == []
    assert page.evaluate(OVERFLOW) == 0

    press_all(page, "button.try-out__btn")
    expect(page.locator("button.try-out__btn.cancel")).to_have_count(calls.count())
    page.locator("button.authorize").click()
    expect(page.locator("button.close-modal")).to_have_accessible_name("Close")
    assert violations(page) == []
