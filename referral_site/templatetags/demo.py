"""What the demo's fragments need; outside the demo they show nothing."""

from datetime import datetime
from typing import NamedTuple

from django import template
from django.conf import settings

from accounts import clock
from referral_site.demo.queries import Purchase, last_purchase
from referrals.models import Referral

register = template.Library()


class Clock(NamedTuple):
    """The demo's present, and by how many days it runs ahead of the real one."""

    now: datetime
    days_ahead: int


@register.simple_tag
def is_demo() -> bool:
    """Whether this is the demo."""
    return bool(settings.DEMO)


@register.simple_tag
def demo_clock() -> Clock:
    """The demo's clock as it stands."""
    return Clock(clock.now(), clock.offset().days)


@register.simple_tag
def purchase_to_refund(referral: Referral) -> Purchase | None:
    """The friend's purchase that the refund button gives back."""
    return last_purchase(customer_id=referral.friend_id)
