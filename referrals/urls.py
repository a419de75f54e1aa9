"""The addresses for newcomers. Sign-up stands where allauth would have it, and before it."""

from django.urls import path

from referrals.views import landing

urlpatterns = [
    path("", landing.landing, name="landing"),
    path("r/<slug:code>/", landing.link, name="link"),
    path("r/<slug:code>", landing.link),
    path("accounts/signup/", landing.SignUpView.as_view(), name="account_signup"),
]
