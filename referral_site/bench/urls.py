"""The site's addresses, and among them one of a view that does nothing: what Django and the middleware take."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from referral_site import urls


def bare(request: HttpRequest) -> HttpResponse:
    """Answer with nothing."""
    return HttpResponse()


# Before the landing's own: finding a view takes as long.
urlpatterns = [path("r/bench/bare/", bare), *urls.urlpatterns]
