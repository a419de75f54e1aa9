"""What every request passes through."""

import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import User


def reader_time_zone(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Show times in the reader's zone; to visitors, in that of the site (TERMS: Programme terms)."""

    def answer(request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_of(request)):
            return get_response(request)

    return answer


def zone_of(request: HttpRequest) -> zoneinfo.ZoneInfo | None:
    """The zone that the reader has set, if it is one that this machine knows."""
    if not isinstance(request.user, User):
        return None
    try:
        return zoneinfo.ZoneInfo(request.user.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None
