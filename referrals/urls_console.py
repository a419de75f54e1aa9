"""The addresses below /console/."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from referrals.views import console


class PkConverter(IntConverter):
    """A primary key: a number that Postgres can hold."""

    regex = "[0-9]{1,18}"


register_converter(PkConverter, "pk")

app_name = "console"
urlpatterns = [
    path("refer/", console.refer, name="refer"),
    path("refer/<pk:referral_id>/", console.friend, name="friend"),
    path("coupons/", console.coupons, name="coupons"),
    path("coupons/<pk:coupon_id>/", console.coupon, name="coupon"),
]
