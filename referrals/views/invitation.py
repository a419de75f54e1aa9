"""A customer's link: the page that a friend sees, its visit, and the picture of its preview."""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

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
from referrals.forms import sign_brought
from referrals.models import Channel
from referrals.pages import Kind, page_of
from referrals.people import is_person
from referrals.picture import Picture, picture_of
from referrals.placeholders import WORDED
from referrals.queries.links import is_link, is_own_link, offer, working_link
from referrals.queries.programme import started_terms
from referrals.remembered import Remembered
from referrals.tally import Visit, tally

# Seconds for which a process believes what it has read of a link and the offer: so late a link that is switched off, or
# new terms, may be seen. What a sign-up brings is decided by the database.
FRESH = 3
CODE_LENGTH = 32
CHANNELS = frozenset(Channel.values)
PICTURE_AGE = timedelta(days=30)
# As never_cache has it, without its reckoning for each response.
NEVER_KEPT = {"Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private"}


class Invitation(NamedTuple):
    """What a visit to a code needs to know.

    `link_id`, `code`, `brought` (the code, signed) and `inviter` (the owner's public first name) are those of a link
    that works; `is_known`: there is a link, working or not. `terms_id` and `numbers` are the terms in force,
    `days` is how long a visit counts, `ahead` how far the clock runs ahead.
    """

    link_id: int | None
    code: str
    brought: str
    inviter: str
    is_known: bool
    terms_id: int
    numbers: tuple[object, ...]
    trial_products: int
    days: int
    ahead: timedelta

    def page(self, now: datetime, *, with_form: bool, token: str = "") -> str:
        """The page as this visitor sees it."""
        kind = Kind(
            get_language() or settings.LANGUAGE_CODE,
            bool(self.code),
            bool(self.inviter),
            with_form,
            self.terms_id,
            self.numbers,
            self.trial_products,
            f"{now:%Y-%m-%d %H:%M}" if settings.DEMO else "",
        )
        return page_of(kind, code=self.code, brought=self.brought, inviter=self.inviter, token=token)


@require_safe
def link(request: HttpRequest, code: str) -> HttpResponse:
    """What a newcomer gets through this link, and the way in; the browser remembers the code, and the visit counts."""
    if isinstance(request.user, User):
        return answer_customer(request, request.user, code)
    found = invitation(code)
    now = timezone.now() + found.ahead
    if not is_person(request):
        return HttpResponse(found.page(now, with_form=False), headers={**NEVER_KEPT, "Vary": "Sec-Purpose, User-Agent"})
    response = HttpResponse(found.page(now, with_form=True, token=form_token(request)), headers=NEVER_KEPT)
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
        if visits.remember(request, response, code=found.code, now=now, days=found.days):
            tally.count(Visit(found.link_id, now.date(), channel(request)))
    elif found.is_known:
        # The link last visited counts, also where it brings nothing (TERMS: What a new customer gets).
        visits.forget(request, response, now=now, days=found.days)


def channel(request: HttpRequest) -> str:
    """How the link was handed on, as its mark says."""
    mark = request.GET.get("via", "").lower() if request.META.get("QUERY_STRING") else ""
    return mark if mark in CHANNELS else Channel.LINK.value


def form_token(request: HttpRequest) -> str:
    """The CSRF token of the form, with its cookie.

    A first visitor's secret is Django's in all but the making, which takes Django as long as all else here: it stands
    in this page as it is, and masked in every later one, as Django has it.
    """
    if "CSRF_COOKIE" not in request.META:
        request.META.update(CSRF_COOKIE=secrets.token_hex(CSRF_SECRET_LENGTH // 2), CSRF_COOKIE_NEEDS_UPDATE=True)
        return str(request.META["CSRF_COOKIE"])
    return get_token(request)


def invitation(code: str) -> Invitation:
    """Return what is known of a code, at most FRESH seconds old."""
    return known.get(code.lower() if len(code) <= CODE_LENGTH else "-")


def look_up(code: str) -> Invitation:
    """Read what there is of a code, and what the programme offers."""
    ahead = clock.offset()
    found, (terms, trial_products) = working_link(code=code), offer(at=timezone.now() + ahead)
    link_id, own_code, inviter = (found.pk, found.code, found.owner.public_first_name) if found else (None, "", "")
    return Invitation(
        link_id=link_id,
        code=own_code,
        brought=sign_brought(own_code),
        inviter=inviter,
        is_known=found is not None or is_link(code=code),
        terms_id=terms.pk,
        numbers=tuple(getattr(terms, name) for name in WORDED),
        trial_products=trial_products,
        days=terms.attribution_days,
        ahead=ahead,
    )


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
