"""The link last visited, as the visitor's browser keeps it: signed, with the instant of the visit."""

from datetime import datetime, timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

COOKIE = "referral"
SALT = "referrals.visits"


def remember(response: HttpResponseBase, *, code: str, now: datetime, days: int) -> None:
    """Have the browser keep the code for `days` days of 24 hours, out of reach of scripts."""
    response.set_signed_cookie(
        COOKIE,
        f"{code} {now.isoformat()}",
        salt=SALT,
        max_age=timedelta(days=days),
        httponly=True,
        samesite="Lax",
        secure=settings.PRODUCTION,
    )


def forget(response: HttpResponseBase) -> None:
    """Have the browser forget the code: the link last visited brings none."""
    response.delete_cookie(COOKIE, samesite="Lax")


def remembered(request: HttpRequest, *, now: datetime, days: int) -> str:
    """Return the code of the link last visited within `days` before `now`; "" if there is none or it was changed.

    The instant counts, not the browser's word: a link visited at T is forgotten at T + `days` (TERMS: What a new
    customer gets).
    """
    kept = request.get_signed_cookie(COOKIE, default="", salt=SALT)
    if not kept:
        return ""
    code, _, visited_at = kept.partition(" ")
    return code if now < datetime.fromisoformat(visited_at) + timedelta(days=days) else ""
