"""A customer's link: the page that a friend sees, its visit, and the picture of its preview."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.core.cache import caches
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from referrals import visits
from referrals.forms import SignUpForm
from referrals.models import Channel
from referrals.people import is_person
from referrals.picture import Picture, picture_of
from referrals.queries.links import is_link, is_own_link, offer, working_link
from referrals.queries.programme import started_terms
from referrals.tally import Visit, tally

# Seconds for which a process shows a page as it is: so late a link that is switched off, or new terms, may be seen.
# What a sign-up brings is decided by the database.
FRESH = 3
# Stands in a remembered page where each visitor's own token goes.
TOKEN = "the-visitors-own-token"  # noqa: S105
CODE_LENGTH = 32
PICTURE_AGE = timedelta(days=30)


class Invitation(NamedTuple):
    """The page of a code as every visitor sees it, and what a visit to it needs to know.

    `link_id` and `code` are those of a link that works; `is_known`: there is a link, working or not; `days` is how long
    a visit counts; `ahead` is how far the clock runs ahead.
    """

    page: str
    link_id: int | None
    code: str
    is_known: bool
    days: int
    ahead: timedelta


@require_safe
@never_cache
def link(request: HttpRequest, code: str) -> HttpResponse:
    """What a newcomer gets through this link, and the way in; the browser remembers the code, and the visit counts."""
    if request.user.is_authenticated:
        return answer_customer(request, code)
    if not is_person(request):
        return HttpResponse(invitation(code, with_form=False).page, headers={"Vary": "Sec-Purpose, User-Agent"})
    found = invitation(code, with_form=True)
    response = HttpResponse(found.page.replace(TOKEN, get_token(request)))
    receive(request, response, found, now=timezone.now() + found.ahead)
    return response


def answer_customer(request: HttpRequest, code: str) -> HttpResponse:
    """Lead the link's owner to their own page; tell another customer that they have an account."""
    if is_own_link(code=code, user_id=request.user.pk):
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
    mark = request.GET.get("via", "").lower()
    return mark if mark in Channel else Channel.LINK


def invitation(code: str, *, with_form: bool) -> Invitation:
    """Return the page of a code, at most FRESH seconds old."""
    code = code.lower() if len(code) <= CODE_LENGTH else "-"
    remembered = caches["process"]
    key = f"{'form' if with_form else 'preview'}:{get_language()}:{code}"
    kept: Invitation | None = remembered.get(key)
    if kept is None:
        kept = write_invitation(code, with_form=with_form)
        remembered.set(key, kept, FRESH)
    return kept


def write_invitation(code: str, *, with_form: bool) -> Invitation:
    """Write the page of a code: without a form for those who fill in none, who get no cookie either."""
    ahead = clock.offset()
    found, offered = working_link(code=code), offer(at=timezone.now() + ahead)
    page = render_to_string(
        "referrals/link.html",
        {
            "link": found,
            "inviter": found.owner.public_first_name if found else "",
            "offer": offered,
            "form": SignUpForm(brought=found.code if found else "") if with_form else None,
            "csrf_token": TOKEN,
            "site": settings.SITE_URL,
            "picture": picture_address("friend" if found else "trial", offered.terms.pk),
        },
    )
    is_known = found is not None or is_link(code=code)
    return Invitation(
        page, found.pk if found else None, found.code if found else "", is_known, offered.terms.attribution_days, ahead
    )


def picture_address(kind: str, terms_id: int) -> str:
    """The address of the picture with the amounts of these terms, in the language of the page."""
    return reverse("picture", kwargs={"kind": kind, "terms_id": terms_id, "language": get_language()})


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
