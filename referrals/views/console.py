"""Billing Management: Refer a Friend, one friend, and My own referral."""

from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.db.models import TextChoices
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from accounts import clock
from accounts.asked import asked_place, reader_id
from accounts.csv_files import csv_file
from referrals.models import Referral
from referrals.queries.console import friend_page, friends_file_rows, list_page, refer_page
from referrals.queries.friends import FRIEND_COLUMNS, Show, Sort
from referrals.queries.own_referral import own_referral_page
from referrals.views.sharing import sharing

ChoiceT = TypeVar("ChoiceT", bound=TextChoices)


class HtmxRequest(HttpRequest):
    """A request that knows whether htmx asks, which swaps in the list alone."""

    htmx: HtmxDetails


@require_safe
@never_cache
@login_required
def refer(request: HtmxRequest) -> HttpResponse:
    """The customer's link, or the way to it; figures and friends. To htmx, the list of friends alone."""
    now, zone = clock.now(), timezone.get_current_timezone()
    listed = _listed(request)
    asked = {"customer_id": reader_id(request), "now": now, **listed, "after": asked_place(request, _order(request))}
    context: dict[str, Any] = {**listed, "shows": Show, "sorts": Sort, "query": _query(**listed), "now": now}
    if request.htmx and not request.htmx.history_restore_request:
        response = render(request, "referrals/console/_friends.html", {**context, "page": list_page(**asked)})
    else:
        page = refer_page(**asked, zone=zone)
        context |= {"page": page, "section": "refer", "sharing": sharing(request, page)}
        response = render(request, "referrals/console/refer.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
@never_cache
@login_required
def friends_file(request: HttpRequest) -> StreamingHttpResponse:
    """The customer's friends as a CSV file, all of them or those of one stage."""
    rows = friends_file_rows(customer_id=reader_id(request), now=clock.now(), **_listed(request))
    return csv_file("friends.csv", columns=FRIEND_COLUMNS, rows=rows)


@require_safe
@never_cache
@login_required
def friend(request: HttpRequest, referral_id: int) -> HttpResponse:
    """One friend's stage, and what was earned for them and why."""
    now = clock.now()
    try:
        page = friend_page(customer_id=reader_id(request), referral_id=referral_id, now=now)
    except Referral.DoesNotExist as fault:
        raise Http404 from fault
    context = {"page": page, "referral": page.friend.referral, "now": now, "section": "refer", "current": "true"}
    return render(request, "referrals/console/friend.html", context)


@require_safe
@never_cache
@login_required
def own_referral(request: HttpRequest) -> HttpResponse:
    """The friend's side: which payments count, and what the referrer sees."""
    now = clock.now()
    page = own_referral_page(customer_id=reader_id(request), after=asked_place(request), now=now)
    context = {"page": page, "now": now, "section": "refer", "current": "true"}
    return render(request, "referrals/console/own_referral.html", context)


def _listed(request: HttpRequest) -> dict[str, Any]:
    return {"show": _choice(request, "stage", Show), "sort": _choice(request, "sort", Sort)}


def _order(request: HttpRequest) -> Any:
    return _choice(request, "sort", Sort).order.read


def _query(*, show: Show, sort: Sort) -> str:
    """What the addresses of the list's pages keep."""
    return urlencode({name: choice.value for name, choice in (("stage", show), ("sort", sort)) if choice.value})


def _choice(request: HttpRequest, name: str, choices: type[ChoiceT]) -> ChoiceT:
    try:
        return choices(request.GET.get(name, ""))
    except ValueError as fault:
        raise BadRequest(f"{name} is none of the choices") from fault
