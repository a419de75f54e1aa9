"""The demo's addresses."""

from django.urls import path

from referral_site.demo import views

app_name = "demo"

urlpatterns = [
    path("sign-in/<slug:who>/", views.sign_in, name="sign_in"),
    path("clock/", views.move, name="clock"),
    path("mail/", views.mail, name="mail"),
    path("mail/<slug:place>/", views.mail_page, name="mail_page"),
    path("friends/<int:referral_id>/spend/", views.spend, name="spend"),
    path("friends/<int:referral_id>/refund/", views.refund, name="refund"),
]
