"""Cookies in a fraction of the time that Django takes to write one, for the page that everybody comes by."""

from http.cookies import Morsel
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase


def put(response: HttpResponseBase, name: str, value: str, *, max_age: int, httponly: bool, samesite: str) -> None:
    """Set a cookie for `max_age` seconds, on the whole site, over TLS only in production.

    The value holds nothing that a cookie would have to quote. As set_cookie, but for the date that says once more what
    `max_age` says.
    """
    morsel: Morsel[Any] = Morsel()
    morsel.set(name, value, value)
    attributes = {"path": "/", "max-age": max_age, "httponly": httponly, "samesite": samesite}
    morsel.update({**attributes, "secure": settings.PRODUCTION})
    response.cookies[name] = morsel
