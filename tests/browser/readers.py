"""What each reader of the site finds there."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.browser.people import come_as
from tests.site_map import walk

# Pages that no link leads to.
UNLINKED = {
    "visitor": ["/r/nobody/", "/accounts/password/reset/key/1-nothing/"],
    "referrer": [
        "/console/refer/?after=1_1",
        "/console/coupons/?after=4102444800000000_1",
        "/console/orders/?orders=1_1&after=1_1",
        "/console/catalogue/?q=server&item=ecs:2",
        "/console/checkout/?item=ecs:40&item=domain:1&item=gone:1&key=0123456789abcdef",
    ],
}
# Who reads only these: the other pages show them what they show the others.
BELOW = {"newcomer": ("/console/", "/accounts/2fa/"), "friend": ("/console/",)}
# Whose pages are few, and named.
PAGES = {
    "unconfirmed": ["/accounts/confirm-email/"],
    "staff": [
        "/admin/",
        "/admin/referrals/referral/",
        "/admin/referrals/fraudflag/",
        "/admin/accounts/user/",
        "/admin/accounts/identityverification/",
        "/admin/credits/coupon/",
    ],
}


def pages_of(page: Page, who: str) -> list[str]:
    """The addresses of the pages that `who` can open; `page` is a browser in which they are signed in."""
    if who in PAGES:
        return PAGES[who]
    more = [*UNLINKED.get(who, []), *([invitation(page)] if who == "visitor" else [])]
    return walk(lambda address: text_of_page(page, address), more=more, below=BELOW.get(who, ("/",)))


def text_of_page(page: Page, address: str) -> str | None:
    """The markup of a page; none where the address answers with anything else: a file, a redirect, a refusal."""
    answer = page.request.get(address, max_redirects=0)
    is_page = answer.status == 200 and answer.headers.get("content-type", "").startswith("text/html")
    return answer.text() if is_page else None


def invitation(page: Page) -> str:
    """The address that the referrer sends to friends."""
    assert page.context.browser
    context = page.context.browser.new_context(base_url=page.url)
    theirs = come_as(context, "referrer")
    theirs.goto("/console/refer/")
    link = theirs.get_by_role("textbox", name="Your link").input_value()
    context.close()
    return urlsplit(link).path


def file_name(address: str) -> str:
    """A name for a file about this page."""
    return re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-") or "start"
