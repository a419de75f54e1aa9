"""Every page of the site, as each of its readers finds them: from the URLconf, and by following links."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from urllib.parse import urljoin, urlsplit

from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve
from playwright.sync_api import Page

# So many pages of one view are looked at: an account's friends stand at nine stages.
MOST_OF_A_VIEW = 9
# Not walked through: Django's own pages, and what acts on a click.
LEFT_OUT = ("/admin/", "/static/")
# Who reads only these: the other pages show them what they show the others.
ONLY = {"newcomer": ("/console/", "/accounts/2fa/"), "friend": ("/console/",)}
# Pages that no link leads to.
UNLINKED = {
    "visitor": ["/r/nobody/", "/accounts/password/reset/key/1-nothing/", "/accounts/logout/"],
    "referrer": ["/accounts/logout/", "/console/refer/?after=1_1", "/console/coupons/?after=4102444800000000_1"],
    "staff": [
        "/admin/",
        "/admin/referrals/referral/",
        "/admin/referrals/fraudflag/",
        "/admin/accounts/user/",
        "/admin/accounts/identityverification/",
        "/admin/credits/coupon/",
    ],
}


@cache
def routes() -> dict[str, str]:
    """The name of each view outside the admin, and its route; a view without a name goes by its route."""
    return {name: route for name, route in _routes(get_resolver(), "", "") if not route.startswith("admin/")}


def _routes(resolver: URLResolver, before: str, space: str) -> Iterator[tuple[str, str]]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _routes(pattern, route, inner)
        elif isinstance(pattern, URLPattern):
            yield (f"{space}{pattern.name}" if pattern.name else route), route


def plain_addresses() -> list[str]:
    """The addresses of the views that need no more than their name."""
    return [f"/{route}" for route in routes().values() if not re.search(r"[<(]", route)]


def view_of(address: str) -> str:
    """The name of the view behind an address; empty where there is none."""
    try:
        found = resolve(urlsplit(address).path)
    except Resolver404:
        return ""
    return found.view_name or found.route


def pages_of(page: Page, who: str) -> list[str]:
    """The addresses of all pages that this reader can open, each view at most MOST_OF_A_VIEW times.

    `page` is a browser in which the reader is signed in; the pages are fetched and not shown.
    """
    if who == "unconfirmed":
        return ["/accounts/confirm-email/"]
    if who == "staff":
        return UNLINKED[who]
    found: list[str] = []
    seen: set[str] = set()
    times: Counter[str] = Counter()
    ahead = [*plain_addresses(), *UNLINKED.get(who, [])]
    while ahead:
        address = ahead.pop(0)
        view = view_of(address)
        listed = address in UNLINKED.get(who, [])
        if (
            address in seen
            or not view
            or times[view] >= MOST_OF_A_VIEW
            or (address.startswith(LEFT_OUT) and not listed)
        ):
            continue
        seen.add(address)
        text = text_of_page(page, address)
        if text is not None:
            times[view] += 1
            found.append(address)
            ahead += links_in(text, address)
    return found


def is_for(who: str, address: str) -> bool:
    """Whether this reader is to walk there."""
    return not address.startswith(LEFT_OUT) and address.startswith(ONLY.get(who, ("/",)))


def text_of_page(page: Page, address: str) -> str | None:
    """The markup of a page; none where the address answers with anything else: a file, a redirect, a refusal."""
    answer = page.request.get(address, max_redirects=0)
    is_page = answer.status == 200 and answer.headers.get("content-type", "").startswith("text/html")
    return answer.text() if is_page else None


def links_in(text: str, address: str) -> list[str]:
    """The addresses on this site that the page links to."""
    targets = [urljoin(address, html.unescape(found)) for found in re.findall(r'<a\b[^>]*?\bhref="([^"]+)"', text)]
    return [target.split("#")[0] for target in targets if target.startswith("/") and not target.startswith("//")]


def file_name(address: str) -> str:
    """A name for a file about this page."""
    return re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-") or "start"
