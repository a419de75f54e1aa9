"""The addresses below /console/."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from accounts import console_views as account
from accounts import profile_views
from billing import views as billing
from referrals.views import closing, console, overview


class PkConverter(IntConverter):
    """A primary key: a number that Postgres can hold."""

    regex = "[0-9]{1,18}"


register_converter(PkConverter, "pk")

app_name = "console"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("orders/", billing.orders, name="orders"),
    path("payment-methods/", billing.payment_methods, name="payment_methods"),
    path("profile/", profile_views.profile, name="profile"),
    path("profile/address/", profile_views.change_address, name="change_address"),
    path("profile/close/", closing.close, name="close_account"),
    path("verification/", account.verification, name="verification"),
    path("refer/", console.refer, name="refer"),
    path("refer/<pk:referral_id>/", console.friend, name="friend"),
    path("coupons/", console.coupons, name="coupons"),
    path("coupons/<pk:coupon_id>/", console.coupon, name="coupon"),
]
