"""Every address of the site."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.http import require_safe

from billing.payment_views import stripe_webhook
from referral_site import gallery
from referral_site.api import api, unknown_call


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Where browsers look for the icon of a page that names none."""
    return redirect(static("favicon.svg"))


handler429 = "accounts.limits.too_often"

urlpatterns: list[URLPattern | URLResolver] = [
    # The page of a link stands first: everybody comes by it.
    path("", include("referrals.urls")),
    path("favicon.ico", favicon),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.urls")),
    path("console/", include("referrals.urls_console")),
    path("webhooks/stripe/", stripe_webhook, name="stripe_webhook"),
    path("api/v1/", unknown_call),
    path("api/v1/", api.urls),
    re_path("^api/v1/", unknown_call),
    path("dev/", include("referral_site.demo.urls")),
    path("dev/", include((gallery.urlpatterns, "gallery"))),
]
