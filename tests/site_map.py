"""Every page of the site: from the URLconf, and by following the links that a reader finds."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from urllib.parse import urljoin, urlsplit

from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve

# So many pages of one view are looked at, unless it is named: an account's friends stand at nine stages.
MOST_OF_A_VIEW = 4
MOST_OF = {"console:friend": 9, "gallery:components": 1}
# Not walked through: Django's own pages.
LEFT_OUT = ("/admin/", "/static/")
# Views with a part in their address that no reader finds a link to, each with the reason.
NOT_FOUND_BY_LINKS = {
    "demo:sign_in": "is a button",
    "demo:spend": "is a button",
    "demo:refund": "is a button",
    "console:default_card": "is a button",
    "console:qr": "is a picture",
    "api:api-root": "is ninja's own, in whose place a problem stands",
    "api:get_credit": "is for those who have a key",
    "api:get_coupon": "is for those who have a key",
    "api:get_entry": "is for those who have a key",
    "api:get_referral": "is for those who have a key",
    "api:get_reward": "is for those who have a key",
    "api:post_return": "is for those who have a key",
    "api:patch_account": "is for those who have a key",
    "api:patch_account_named_credit": "is for those who have a key",
    "account_reset_password_from_key": "stands in a mail",
    "demo:mail_page": "is the page of a mail, which these readers' demo has not sent",
    "console:remove_card": "is the page of a card, which this referrer does not have",
    "picture": "is for previews, which find it in the page's head",
    "mfa_edit_webauthn": "is the page of a security key, which no reader has",
    "mfa_remove_webauthn": "is the page of a security key, which no reader has",
}


@cache
def routes() -> dict[str, str]:
    """The name of each view outside the admin that has one, and its route."""
    return {name: route for name, route in _routes(get_resolver(), "", "") if not route.startswith("admin/")}


def _routes(resolver: URLResolver, before: str, space: str) -> Iterator[tuple[str, str]]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _routes(pattern, route, inner)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield f"{space}{pattern.name}", route


def plain_addresses() -> list[str]:
    """The addresses of the views that need no more than their name."""
    return [f"/{route}" for route in routes().values() if not re.search(r"[<(]", route)]


def view_of(address: str) -> str:
    """The name of the view behind an address; empty where there is none."""
    try:
        return resolve(urlsplit(address).path).view_name
    except Resolver404:
        return ""


def walk(fetch: Callable[[str], str | None], *, more: Iterable[str] = (), below: tuple[str, ...] = ("/",)) -> list[str]:
    """Return the addresses of all pages below these paths that a reader can open, each view only so many times.

    `fetch` gives the markup behind an address, or none where there is no page for the reader. The walk starts at every
    address without a part that varies and at `more`, and follows the links.
    """
    found: list[str] = []
    seen: set[str] = set()
    times: Counter[str] = Counter()
    ahead = [*plain_addresses(), *more]
    while ahead:
        address = ahead.pop(0)
        view = view_of(address)
        enough = times[view] >= MOST_OF.get(view, MOST_OF_A_VIEW)
        if not view or enough or address in seen or address.startswith(LEFT_OUT) or not address.startswith(below):
            continue
        seen.add(address)
        text = fetch(address)
        if text is not None:
            times[view] += 1
            found.append(address)
            ahead += links_in(text, address)
    return found


def links_in(text: str, address: str) -> list[str]:
    """The addresses on this site that the page links to."""
    targets = [urljoin(address, html.unescape(found)) for found in re.findall(r'<a\b[^>]*?\bhref="([^"]+)"', text)]
    return [target.split("#")[0] for target in targets if target.startswith("/") and not target.startswith("//")]


def views_without_a_page(found: Iterable[str]) -> set[str]:
    """The views that are not behind these addresses and that no walk has tried, unless it is known why."""
    reached = {view_of(address) for address in [*plain_addresses(), *found]}
    return set(routes()) - reached - set(NOT_FOUND_BY_LINKS)
