"""The site's addresses, and one of a view that does nothing: what Django and the middleware take by themselves."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def bare(request: HttpRequest) -> HttpResponse:
    """Answer with nothing."""
    return HttpResponse()


urlpatterns = [
    path("r/bench/bare/", bare),
    path("", include("referral_site.urls")),
]
