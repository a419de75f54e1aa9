"""Bodies of calls: what of them is left, and those of which no Content-Length says how long they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest, HttpResponse

# Bytes of a body that is refused.
MOST_UNUSED = 64 * 1024 * 1024
PART = 64 * 1024


def is_unmeasured(request: HttpRequest) -> bool:
    """Whether the body comes in chunks, or by HTTP/2 without a length; the server ends it."""
    return bool(request.META.get("wsgi.input_terminated")) and "CONTENT_LENGTH" not in request.META


def read_unmeasured(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let calls read a body without a length, which Django takes for none. It refuses one that is too large itself."""

    def respond(request: HttpRequest) -> HttpResponse:
        if is_unmeasured(request) and request.path.startswith("/api/"):
            request._stream = LimitedStream(request.META["wsgi.input"], MOST_UNUSED)  # type: ignore[assignment]
        return get_response(request)

    return respond


def read_to_the_end(request: HttpRequest) -> None:
    """Read what is left of a body that is not used, within reason.

    A client that is still sending when the connection is closed sees that it broke, and not the answer.
    """
    left = MOST_UNUSED
    body = request.META["wsgi.input"] if is_unmeasured(request) else request
    with suppress(OSError):
        while left > 0 and (part := body.read(min(left, PART))):
            left -= len(part)
