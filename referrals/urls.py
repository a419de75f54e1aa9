"""The addresses for newcomers. Sign-up stands where allauth would have it, and before it."""

from django.urls import path, re_path

from referrals.views import invitation, landing
from referrals.views.sign_up import SignUpView

urlpatterns = [
    path("r/<slug:code>/", invitation.link, name="link"),
    path("r/<slug:code>", invitation.link),
    path("", landing.landing, name="landing"),
    path("free-trial/", landing.free_trial, name="free_trial"),
    path("terms/", landing.terms, name="terms"),
    path("privacy/", landing.privacy, name="privacy"),
    re_path(
        r"^invitation/(?P<kind>friend|trial)-(?P<terms_id>[0-9]{1,18})-(?P<language>[a-z]{2,3})\.png$",
        invitation.picture,
        name="picture",
    ),
    path("accounts/signup/", SignUpView.as_view(), name="account_signup"),
]
