"""What every request passes through."""

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from accounts.models import User


def reader_time_zone(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Show times in the reader's zone; to visitors, in that of the site (TERMS: Programme terms)."""

    def answer(request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_of(request)):
            return get_response(request)

    return answer


def zone_of(request: HttpRequest) -> zoneinfo.ZoneInfo | None:
    """The zone that the reader has set, if it is one that this machine knows."""
    return zone_named(request.user.time_zone) if isinstance(request.user, User) else None


def zone_named(name: str) -> zoneinfo.ZoneInfo | None:
    """The zone of this name, if it is one that this machine knows."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None


def reader_language(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Speak the language that the reader has chosen; to others, the one that their browser asks for."""

    def answer(request: HttpRequest) -> HttpResponse:
        chosen = request.user.language if isinstance(request.user, User) else ""
        if chosen not in dict(settings.LANGUAGES):
            return get_response(request)
        with translation.override(chosen):
            response = get_response(request)
            response.headers["Content-Language"] = chosen
            return response

    return answer
