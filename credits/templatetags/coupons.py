"""How pages name coupons."""

from django import template
from django.utils.translation import gettext_lazy

from credits.models import CouponKind

register = template.Library()

NAMES = {
    CouponKind.WELCOME: gettext_lazy("Welcome credit"),
    CouponKind.PAYOUT: gettext_lazy("Payout"),
    CouponKind.BONUS: gettext_lazy("Bonus"),
    CouponKind.GOODWILL: gettext_lazy("Goodwill credit"),
    CouponKind.TRIAL: gettext_lazy("Free trial"),
}


@register.filter
def coupon_name(kind: str) -> str:
    """What the owner of a coupon calls it: Payout, Free trial."""
    return str(NAMES[CouponKind(kind)])
