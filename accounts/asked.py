"""What the doors of the console read off a request: who asks, and from which place of a list on."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import BadRequest
from django.http import HttpRequest

from accounts.keyset import Place, UnableToReadPlace, instant
from accounts.models import User


def reader_id(request: HttpRequest) -> int:
    """Who asks, behind login_required."""
    assert isinstance(request.user, User)
    return request.user.pk


def asked_place(
    request: HttpRequest, read: Callable[[str], datetime | Decimal] = instant, *, name: str = "after"
) -> Place | None:
    """Where the page of a list starts that `after` (or another `name`) names. Raises BadRequest."""
    try:
        return Place.parse(request.GET.get(name, ""), read)
    except UnableToReadPlace as fault:
        raise BadRequest(f"{name} is no place in this list") from fault
