"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("referrals.urls")),
    path("accounts/", include("allauth.urls")),
    path("console/", include("referrals.urls_console")),
    path("dev/", include("referral_site.demo.urls")),
]
