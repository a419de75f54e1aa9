"""The page of an invitation, written once and filled in for each visitor.

It is the same for all but for a code, a name and a token: writing it takes a hundred times as long as filling these in.
It is written anew when what it says has changed.
"""

import re
from functools import cache, lru_cache
from typing import NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import escape

from referrals.forms import SignUpForm
from referrals.models import ProgrammeTerms
from referrals.placeholders import WORDED
from referrals.queries.links import Offer

CODE, BROUGHT, INVITER, TOKEN = "a-place-for-code", "a-place-for-brought", "a-place-for-inviter", "a-place-for-token"
PLACES = re.compile(f"({CODE}|{BROUGHT}|{INVITER})")


class Kind(NamedTuple):
    """What makes one page differ from another, but for its visitor.

    `present` is the demo's, to the minute, which its pages show; `by_name`: the inviter has a public first name;
    `numbers` are those of the terms.
    """

    language: str
    with_form: bool
    present: str
    is_invited: bool
    by_name: bool
    terms_id: int
    numbers: tuple[object, ...]
    trial_products: int


def numbers_of(offered: Offer) -> tuple[tuple[object, ...], int]:
    """What the page says of an offer."""
    return tuple(getattr(offered.terms, name) for name in WORDED), offered.trial_products


class Page(NamedTuple):
    """A page for one code: what stands before the visitor's token and what after each of its places."""

    parts: list[bytes]

    def with_token(self, token: str) -> bytes:
        """The page as one visitor gets it."""
        return token.encode().join(self.parts)


@lru_cache(maxsize=200)  # all links that do not work share one page, however many codes somebody tries
def page_of(kind: Kind, *, code: str, brought: str, inviter: str) -> Page:
    """Return a page of this kind; `brought` is the code as SignUpForm has it signed."""
    values = {CODE: code, BROUGHT: brought, INVITER: escape(inviter)}
    filled_in = "".join([values.get(part, part) for part in parts_of(kind)])
    return Page(filled_in.encode().split(TOKEN.encode()))


@lru_cache(maxsize=200)
def parts_of(kind: Kind) -> list[str]:
    """Return the page in parts, between them the places that are filled in."""
    return PLACES.split(write(kind))


def write(kind: Kind) -> str:
    """Write the page: without a form for those who fill in none, and get no cookie."""
    form = SignUpForm(brought=CODE if kind.is_invited else "")
    if kind.is_invited:
        form.fields["brought_code"].initial = BROUGHT
    what = "friend" if kind.is_invited else "trial"
    picture = reverse("picture", kwargs={"kind": what, "terms_id": kind.terms_id, "language": kind.language})
    context = {
        "link": {"code": CODE} if kind.is_invited else None,
        "inviter": INVITER if kind.by_name else "",
        "offer": Offer(ProgrammeTerms.objects.get(pk=kind.terms_id), kind.trial_products),
        "form": form if kind.with_form else None,
        "csrf_token": TOKEN,
        "site": settings.SITE_URL,
        "picture": picture,
        "icon": icon(),
    }
    return render_to_string("referrals/link.html", context)


@cache
def icon() -> str:
    """The site's icon as an address that holds it: one request less on a first visit."""
    drawing = (settings.BASE_DIR / "static" / "favicon.svg").read_text()
    return f"data:image/svg+xml,{quote(drawing)}"
