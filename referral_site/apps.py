from django.apps import AppConfig


class ReferralSiteConfig(AppConfig):
    name = "referral_site"
    default_auto_field = "django.db.models.BigAutoField"
