"""Bodies of calls: what of them is left, and those of which no Content-Length says how long they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest, HttpResponse

# Bytes of a body that is refused.
MOST_UNUSED = 64 * 1024 * 1024
PART = 64 * 1024


def read_to_the_end(request: HttpRequest) -> None:
    """Read what is left of a body that is not used, within reason.

    A client that is still sending when the connection is closed sees that it broke, and not the answer.
    """
    left = MOST_UNUSED
    with suppress(OSError):
        while left > 0 and (part := request.read(min(left, PART))):
            left -= len(part)


class Unmeasured(LimitedStream):
    """A body that the server ends. Asked for as a whole, one that is too large is refused."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream, MOST_UNUSED)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            return super().read(size)
        most = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        whole = super().read(most + 1)
        if len(whole) > most:
            raise RequestDataTooBig
        return whole


def read_unmeasured(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let calls read a body that comes in chunks, or by HTTP/2 without a length: Django takes it for none."""

    def respond(request: HttpRequest) -> HttpResponse:
        ends = request.META.get("wsgi.input_terminated") and "CONTENT_LENGTH" not in request.META
        if ends and request.path.startswith("/api/"):
            request._stream = Unmeasured(request.META["wsgi.input"])  # type: ignore[assignment]
        return get_response(request)

    return respond
