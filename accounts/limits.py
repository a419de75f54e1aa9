"""How often what guards an account works in a row, and what is said once that was too often.

allauth counts by the visitor's address, by the account's, and by the user (settings: ACCOUNT_RATE_LIMITS); with the
cache down, nothing is counted, and everybody let in.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification_by_code import EMAIL_VERIFICATION_CODE_SESSION_KEY
from allauth.core.internal.ratelimit import Rate, get_cache_key, get_rates
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse

from accounts.models import User

ENTER_CODE = "enter_code"
"""The codes that are entered for one e-mail address, right or wrong."""

TOO_OFTEN = {"too_many_login_attempts", "rate_limited"}
"""The codes of a form's errors that say so."""

ResponseT = TypeVar("ResponseT", bound=HttpResponse)

Limit = tuple[str, str | None]
"""What is limited, and for which e-mail address, if that counts."""


def too_often(request: HttpRequest) -> HttpResponse:
    """The page that says when it works again."""
    seconds = seconds_to_wait(request)
    response = render(request, "429.html", {"minutes": minutes(seconds)}, status=429)
    return with_wait(response, seconds)


class SayTooOften:
    """Answers 429, too, where a form stays and says itself that it was sent too often."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_template_response(self, request: HttpRequest, response: TemplateResponse) -> TemplateResponse:
        """Say when the form works again, before its page is made."""
        context = response.context_data or {}
        if not is_too_often(context.get("form")):
            return response
        seconds = seconds_to_wait(request)
        response.status_code = 429
        response.context_data = {**context, "minutes": minutes(seconds)}
        return with_wait(response, seconds)


def is_too_often(form: object) -> bool:
    errors = getattr(form, "errors", None) if getattr(form, "is_bound", False) else None
    codes = {error.code for field in errors.as_data().values() for error in field} if errors else set()
    return bool(codes & TOO_OFTEN)


def with_wait(response: ResponseT, seconds: int) -> ResponseT:
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


def minutes(seconds: int) -> int:
    """Whole minutes, rounded up; 0 where it is not known."""
    return math.ceil(seconds / 60)


def seconds_to_wait(request: HttpRequest) -> int:
    """How many seconds from now until the page that was asked for works again; 0 where that is not known."""
    waits = [wait for action, key in limits_of(request) for wait in waits_of(request, action, key)]
    return max(waits, default=0)


def limits_of(request: HttpRequest) -> list[Limit]:
    """What is counted on a page, by its name."""
    match = request.resolver_match
    typed = request.POST.get("email", "").lower()
    waiting = request.session.get(EMAIL_VERIFICATION_CODE_SESSION_KEY, {}).get("email", "").lower()
    own = request.user.email if isinstance(request.user, User) else request.POST.get("login", "")
    failed = get_adapter()._get_login_attempts_cache_key(request, email=own)
    limits: dict[str, list[Limit]] = {
        "account_login": [("login", None), ("login_failed", failed)],
        "account_signup": [("signup", None), ("confirm_email", typed)],
        "account_email_verification_sent": [(ENTER_CODE, waiting), ("confirm_email", waiting)],
        "account_reset_password": [("reset_password", typed)],
        "account_reset_password_from_key": [("reset_password_from_key", None)],
        "account_reauthenticate": [("reauthenticate", None), ("login_failed", failed)],
        "mfa_reauthenticate": [("reauthenticate", None)],
        "account_change_password": [("change_password", None)],
        "account_set_password": [("change_password", None)],
        "console:verification": [("submit_verification", None)],
        "console:change_address": [("manage_email", None), ("confirm_email", typed)],
    }
    return limits.get(match.view_name, []) if match else []


def waits_of(request: HttpRequest, action: str, key: str | None) -> Iterator[int]:
    """How long each rate of an action that is used up stays so, in seconds."""
    for rate in get_rates(app="allauth.account", action=action):
        if (rate.per == "key" and not key) or (rate.per == "user" and not request.user.is_authenticated):
            continue
        name = get_cache_key(request, app="allauth.account", action=action, rate=rate, key=key)
        yield wait_of(rate, cache.get(name, []), time.time())


def wait_of(rate: Rate, used_at: list[float], now: float) -> int:
    """How long until the oldest use that fills the rate no longer counts; `used_at` is the newest first."""
    used = [at for at in used_at if at > now - rate.duration]
    return math.ceil(used[rate.amount - 1] + rate.duration - now) if len(used) >= rate.amount else 0
