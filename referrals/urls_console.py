"""The addresses below /console/."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from accounts import profile_views
from accounts import verification_views as verification
from billing import order_views
from billing import payment_views as payment
from billing import shop_views as shop
from billing import views as billing
from referrals.views import closing, console, coupons, overview, sharing


class PkConverter(IntConverter):
    """A primary key: a number that Postgres can hold."""

    regex = "[0-9]{1,18}"


register_converter(PkConverter, "pk")

app_name = "console"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("catalogue/", shop.catalogue, name="catalogue"),
    path("checkout/", shop.checkout, name="checkout"),
    path("checkout/pay/", shop.pay, name="pay"),
    path("orders/", billing.orders, name="orders"),
    path("orders/payments.csv", billing.orders_file, name="orders_file"),
    path("orders/<slug:number>/", order_views.order, name="order"),
    path("orders/<slug:number>/invoice/", order_views.invoice, name="invoice"),
    path("payment-methods/", payment.payment_methods, name="payment_methods"),
    path("payment-methods/add/", payment.add, name="add_card"),
    path("payment-methods/card/", payment.sandbox_card, name="sandbox_card"),
    path("payment-methods/return/", payment.card_entered, name="card_entered"),
    path("payment-methods/<pk:method_id>/default/", payment.make_default, name="default_card"),
    path("payment-methods/<pk:method_id>/remove/", payment.remove, name="remove_card"),
    path("profile/", profile_views.profile, name="profile"),
    path("profile/address/", profile_views.change_address, name="change_address"),
    path("profile/close/", closing.close, name="close_account"),
    path("verification/", verification.verification, name="verification"),
    path("verification/move/", verification.move, name="move_eligibility"),
    path("refer/", console.refer, name="refer"),
    path("refer/friends.csv", console.friends_file, name="friends_file"),
    path("refer/qr.<str:kind>", sharing.qr, name="qr"),
    path("refer/own/", console.own_referral, name="own_referral"),
    path("refer/<pk:referral_id>/", console.friend, name="friend"),
    path("coupons/", coupons.coupons, name="coupons"),
    path("coupons/coupons.csv", coupons.coupons_file, name="coupons_file"),
    path("coupons/<pk:coupon_id>/movements.csv", coupons.coupon_file, name="coupon_file"),
    path("coupons/<pk:coupon_id>/", coupons.coupon, name="coupon"),
]
