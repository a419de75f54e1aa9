"""What every door of the API has in common: keys, limits and problems (RFC 9457)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from ninja import Schema
from ninja.params import functions as param_functions
from ninja.parser import Parser
from ninja.security import HttpBearer
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints

from accounts import clock
from accounts.models import ApiKey
from accounts.operations import note_use
from accounts.operations.api_keys import key_digest, may_come_from
from accounts.visitors import visitor_address

# `examples`, as OpenAPI 3.1 has it, ninja would write where a map is expected.
AccountId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$"),
    param_functions.Path(example="acct-7"),
]
"""An account id in an address: what Postgres cannot hold does not reach it."""

Word = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""An id or a name in a body."""

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _as_written(value: Any) -> Any:
    if not (isinstance(value, str) and RFC_3339.fullmatch(value)):
        raise ValueError("a time is RFC 3339 with an offset")
    return value


def _in_utc(instant: datetime) -> datetime:
    """Postgres reads no offset from 16 hours on, which RFC 3339 has. An instant beyond the years is their end."""
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if instant.year == 1 else datetime.max.replace(tzinfo=UTC)


Instant = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_in_utc)]
"""An instant, in UTC whatever its offset was."""

WINDOW = 60
"""Seconds that a limit counts over."""


class Problem(Exception):
    """What went wrong, for an answer of application/problem+json; `code` is stable, `errors` name what is at fault."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors, self.headers = status, code, detail, errors, headers


class ProblemOut(Schema):
    """RFC 9457 problem details. `code` is stable; `errors` name what of the request is at fault."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] | None = None


class StrictParser(Parser):
    """JSON as RFC 8259 has it: no NaN, no lone surrogates, no nesting without end."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            return orjson.loads(request.body)
        except orjson.JSONDecodeError as fault:
            raise Problem(400, "json", f"The body is not JSON: {fault}.") from fault


class Key(HttpBearer):
    """Lets in whoever has a key with the scope, from where it is good, within its limit."""

    def __init__(self, scope: ApiKey.Scope) -> None:
        super().__init__()
        self.scope = scope

    def __call__(self, request: HttpRequest) -> ApiKey | None:
        """Read the header. Ninja's own reading logs one that it does not understand, and with it the key."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        # RFC 9110 has one space or more between them.
        return self.authenticate(request, token.strip(" ")) if scheme.lower() == "bearer" else None

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey:
        """Return the key. One answer for every key that is not good, so that it tells nobody why."""
        now = clock.now()
        key = ApiKey.objects.filter(digest=key_digest(token)).first()
        if key is None or not key.is_good_at(now) or not may_come_from(key=key, address=visitor_address(request) or ""):
            raise Problem(401, "key", "The key is unknown, expired, revoked or not good from here.", headers=CHALLENGE)
        count_call(request, key)
        if self.scope not in key.scopes:
            raise Problem(403, "scope", f"The key lacks the scope {self.scope}.")
        note_use(key=key, now=now)
        return key


CHALLENGE = {"WWW-Authenticate": "Bearer"}


def count_call(request: HttpRequest, key: ApiKey) -> None:
    """Count a call within the present minute. Raises Problem: limit."""
    window, left = divmod(int(time.time()), WINDOW)
    name, reset = f"api-calls:{key.pk}:{window}", WINDOW - left
    try:
        calls = cache.incr(name)
    except ValueError:  # the first one of this minute, or one of the first
        cache.add(name, 0, timeout=2 * WINDOW)
        calls = cache.incr(name)
    limit = settings.API_CALLS_PER_MINUTE
    headers = {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(max(0, limit - calls)),
        "RateLimit-Reset": str(reset),
    }
    request.api_limits = headers  # type: ignore[attr-defined]
    if calls > limit:
        detail = f"At most {limit} calls a minute: try again in {reset} s."
        raise Problem(429, "limit", detail, headers={"Retry-After": str(reset)})
