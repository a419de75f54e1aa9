"""A customer's link: the page that a friend sees, its visit, and the picture of its preview."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.middleware.csrf import CSRF_SECRET_LENGTH, get_token
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.models import User
from referrals import visits
from referrals.cookies import put
from referrals.forms import sign_brought
from referrals.models import Channel
from referrals.pages import Kind, Page, numbers_of, page_of
from referrals.people import is_person
from referrals.picture import Picture, picture_of
from referrals.queries.links import Offer, is_link, is_own_link, offer, working_link
from referrals.queries.programme import started_terms
from referrals.remembered import Remembered
from referrals.tally import Visit, tally

# Seconds for which a process believes what it has read of a link and the offer: so late a link that is switched off, or
# new terms, may be seen. What a sign-up brings is decided by the database.
FRESH = 3
CODE_LENGTH = 32
CHANNELS = frozenset(Channel.values)
PICTURE_AGE = timedelta(days=30)
CSRF_COOKIE: dict[str, Any] = {
    "name": settings.CSRF_COOKIE_NAME,
    "max_age": settings.CSRF_COOKIE_AGE,
    "httponly": settings.CSRF_COOKIE_HTTPONLY,
    "samesite": settings.CSRF_COOKIE_SAMESITE,
}
# As never_cache has it, without its reckoning for each response.
NEVER_KEPT = {"Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private"}


@dataclass(frozen=True)
class Invitation:
    """What a visit to a code needs to know.

    `link_id`, `code` and `inviter` (the owner's public first name) are those of a link that works; `is_known`: there is
    a link, working or not. `offer` is in force, `ahead` is how far the clock runs ahead. `pages` are those written so
    far; in the demo they show the time.
    """

    link_id: int | None
    code: str
    inviter: str
    is_known: bool
    offer: Offer
    ahead: timedelta
    shows_time: bool
    pages: dict[tuple[str, bool, str], Page] = field(default_factory=dict)

    def page(self, now: datetime, *, with_form: bool) -> Page:
        """The page in the language of the request."""
        present = f"{now:%Y-%m-%d %H:%M}" if self.shows_time else ""
        what = (get_language() or settings.LANGUAGE_CODE, with_form, present)
        if what not in self.pages:
            kind = Kind(*what, bool(self.code), bool(self.inviter), self.offer.terms.pk, *numbers_of(self.offer))
            brought = sign_brought(self.code)
            self.pages[what] = page_of(kind, code=self.code, brought=brought, inviter=self.inviter)
        return self.pages[what]


@require_safe
def link(request: HttpRequest, code: str) -> HttpResponse:
    """What a newcomer gets through this link, and the way in; the browser remembers the code, and the visit counts."""
    if isinstance(request.user, User):
        return answer_customer(request, request.user, code)
    found = invitation(code)
    now = timezone.now() + found.ahead
    if not is_person(request):
        page = found.page(now, with_form=False).with_token("")
        return HttpResponse(page, headers={**NEVER_KEPT, "Vary": "Sec-Purpose, User-Agent"})
    token, secret = give_token(request)
    response = HttpResponse(found.page(now, with_form=True).with_token(token), headers=NEVER_KEPT)
    if secret:
        put(response, **CSRF_COOKIE, value=secret)
    receive(request, response, found, now=now)
    return response


@never_cache
def answer_customer(request: HttpRequest, customer: User, code: str) -> HttpResponse:
    """Lead the link's owner to their own page; tell another customer that they have an account."""
    if is_own_link(code=code, user_id=customer.pk):
        return redirect("console:refer")
    return render(request, "referrals/link_of_a_customer.html")


def receive(request: HttpRequest, response: HttpResponse, found: Invitation, *, now: datetime) -> None:
    """Have the browser remember the link, and count the visit if it is its first one today."""
    if found.link_id is not None:
        if visits.remember(request, response, code=found.code, now=now, days=found.offer.terms.attribution_days):
            tally.count(Visit(found.link_id, now.date(), channel(request)))
    elif found.is_known:
        # The link last visited counts, also where it brings nothing (TERMS: What a new customer gets).
        visits.forget(request, response, now=now, days=found.offer.terms.attribution_days)


def channel(request: HttpRequest) -> str:
    """How the link was handed on, as its mark says."""
    mark = request.GET.get("via", "").lower() if request.META.get("QUERY_STRING") else ""
    return mark if mark in CHANNELS else Channel.LINK.value


def give_token(request: HttpRequest) -> tuple[str, str]:
    """Return the CSRF token of the form, and the secret of the cookie where the visitor has none yet.

    A first visitor's secret is Django's in all but the making, which takes Django longer than all else here: it stands
    in this page as it is, and masked in every later one, as Django has it.
    """
    if "CSRF_COOKIE" in request.META:
        return get_token(request), ""
    secret = secrets.token_hex(CSRF_SECRET_LENGTH // 2)
    return secret, secret


def invitation(code: str) -> Invitation:
    """Return what is known of a code, at most FRESH seconds old."""
    return known.get(code.lower() if len(code) <= CODE_LENGTH else "-")


def look_up(code: str) -> Invitation:
    """Read what there is of a code, and what the programme offers."""
    ahead = clock.offset()
    now = timezone.now() + ahead
    found, offered = working_link(code=code, at=now), offer(at=now)
    if found is None:
        return Invitation(None, "", "", is_link(code=code), offered, ahead, settings.DEMO)
    return Invitation(found.pk, found.code, found.owner.public_first_name, True, offered, ahead, settings.DEMO)


known = Remembered(look_up, seconds=FRESH)


@require_safe
@cache_control(public=True, max_age=int(PICTURE_AGE.total_seconds()))
def picture(request: HttpRequest, kind: str, terms_id: int, language: str) -> HttpResponse:
    """The picture of a preview: what a newcomer gets, for a version of the terms and a language."""
    terms = started_terms(pk=terms_id, at=clock.now()) if language in dict(settings.LANGUAGES) else None
    if terms is None:
        raise Http404
    drawn: Picture = picture_of(terms=terms, kind=kind, language=language)
    headers = {"ETag": drawn.etag}
    if drawn.etag in request.headers.get("If-None-Match", ""):
        return HttpResponseNotModified(headers=headers)
    return HttpResponse(drawn.png, content_type="image/png", headers=headers)
