"""The link last visited, as the visitor's browser keeps it: signed, with the instant of the visit.

Beside it stand the links that the browser has visited on that day (of UTC), so that each counts once a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from hmac import HMAC

from django.core.signing import TimestampSigner, b64_encode, get_cookie_signer
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import salted_hmac
from django.utils.encoding import force_bytes

from referrals.cookies import put

COOKIE = "referral"
SALT = "referrals.visits"
SEPARATOR = "|"  # of those that a cookie holds as they are
# A browser that visits more links on one day is counted again; so many of the longest codes fit into a cookie.
MOST_SEEN = 100


@dataclass(frozen=True)
class Memory:
    """What a browser remembers: the code of the link last visited ("": that link brings none), when, and the codes of
    the links seen on that day."""

    code: str
    visited_at: datetime
    seen: Sequence[str] = ()

    def seen_on(self, now: datetime) -> Sequence[str]:
        """The links seen on the day of `now`."""
        return self.seen if self.visited_at.date() == now.date() else ()


class ReadySigner(TimestampSigner):
    """Django's signer, whose key is ready: to derive it takes longer than to sign."""

    @cached_property
    def _ready(self) -> HMAC:
        return salted_hmac(str(self.salt) + "signer", b"", self.key, algorithm=self.algorithm)

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        if key is not None:
            return str(super().signature(value, key))
        signing = self._ready.copy()
        signing.update(force_bytes(value))
        return b64_encode(signing.digest()).decode()


@cache
def signer() -> TimestampSigner:
    """The signer of Django's signed cookies, made once."""
    kept = get_cookie_signer(salt=COOKIE + SALT)
    return ReadySigner(key=kept.key, salt=kept.salt, algorithm=kept.algorithm)


def memory(request: HttpRequest) -> Memory | None:
    """Return what the browser remembers; None where it remembers nothing or its cookie was changed."""
    kept = request.get_signed_cookie(COOKIE, default="", salt=SALT)
    if not kept:
        return None
    code, visited_at, *seen = kept.split(SEPARATOR)
    return Memory(code, datetime.fromisoformat(visited_at), seen)


def remember(request: HttpRequest, response: HttpResponseBase, *, code: str, now: datetime, days: int) -> bool:
    """Have the browser keep the code for `days` days of 24 hours, out of reach of scripts; say whether the browser sees
    this link for the first time today."""
    before = memory(request)
    seen = before.seen_on(now) if before else ()
    is_first = code not in seen
    if is_first:
        seen = [*seen, code][-MOST_SEEN:]
    _keep(response, Memory(code, now, seen), days=days)
    return is_first


def forget(request: HttpRequest, response: HttpResponseBase, *, now: datetime, days: int) -> None:
    """Have the browser forget the code: the link last visited brings none. What it has seen today it keeps."""
    before = memory(request)
    if before and (seen := before.seen_on(now)):
        _keep(response, Memory("", now, seen), days=days)
    else:
        response.delete_cookie(COOKIE, samesite="Lax")


def remembered(request: HttpRequest, *, now: datetime, days: int) -> str:
    """Return the code of the link last visited within `days` before `now`; "" if there is none or it was changed.

    The instant counts, not the browser's word: a link visited at T is forgotten at T + `days` (TERMS: What a new
    customer gets).
    """
    kept = memory(request)
    return kept.code if kept and now < kept.visited_at + timedelta(days=days) else ""


def _keep(response: HttpResponseBase, kept: Memory, *, days: int) -> None:
    value = signer().sign(SEPARATOR.join([kept.code, kept.visited_at.isoformat(), *kept.seen]))
    put(response, COOKIE, value, max_age=days * 86_400, httponly=True, samesite="Lax")
