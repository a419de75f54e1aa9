"""The addresses below /console/."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from accounts import console_views as account
from billing import views as billing
from referrals.views import console, coupons, overview, sharing


class PkConverter(IntConverter):
    """A primary key: a number that Postgres can hold."""

    regex = "[0-9]{1,18}"


register_converter(PkConverter, "pk")

app_name = "console"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("orders/", billing.orders, name="orders"),
    path("payment-methods/", billing.payment_methods, name="payment_methods"),
    path("profile/", account.profile, name="profile"),
    path("verification/", account.verification, name="verification"),
    path("refer/", console.refer, name="refer"),
    path("refer/friends.csv", console.friends_file, name="friends_file"),
    path("refer/qr.<str:kind>", sharing.qr, name="qr"),
    path("refer/own/", console.own_referral, name="own_referral"),
    path("refer/<pk:referral_id>/", console.friend, name="friend"),
    path("coupons/", coupons.coupons, name="coupons"),
    path("coupons/<pk:coupon_id>/", coupons.coupon, name="coupon"),
]
