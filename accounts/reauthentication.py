"""What asks for the password, or another proof, once more."""

from collections.abc import Callable
from functools import wraps

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse

Door = Callable[..., HttpResponse]


def password_asked_again(door: Door) -> Door:
    """Let through only who has proved within the last minutes that it is still them; ask the others."""

    @wraps(door)
    def ask(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not did_recently_reauthenticate(request):
            raise ReauthenticationRequired
        return door(request, *args, **kwargs)

    return ask
