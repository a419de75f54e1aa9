"""What the programme does when an account registers, is verified or gets a payment method: one call each, in the
sender's transaction."""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.dispatch import receiver
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from accounts.signals import accounts_registered, eligibility_moved, identity_verified, payment_method_added
from billing.signals import spend_recorded
from credits.signals import coupons_expired, coupons_expiring
from referrals.operations import admit, announce_expired, announce_expiring, carry_link, give_link, welcome_verified
from referrals.tasks import track_spend

logger = logging.getLogger(__name__)


@receiver(accounts_registered)
def admit_the_registered(user_ids: Sequence[int], now: datetime, **signal: object) -> None:
    """Everyone who registers gets what a new customer gets, and their referrer the referral."""
    admit(user_ids=user_ids, now=now)


@receiver(identity_verified)
def welcome_the_verified(user_id: int, now: datetime, **signal: object) -> None:
    """Verification brings the link, and an enterprise the rest of its trial and welcome credit."""
    welcome_verified(user_id=user_id, now=now)


@receiver(payment_method_added)
def give_the_link(user_id: int, now: datetime, **signal: object) -> None:
    """A payment method on file brings the link."""
    give_link(user_id=user_id, now=now)


@receiver(eligibility_moved)
def carry_the_link(user_id: int, from_user_id: int | None, by_person: bool, now: datetime, **signal: object) -> None:
    """The account that is eligible now has the link."""
    carry_link(user_id=user_id, from_user_id=from_user_id, by_person=by_person, now=now)


@receiver(coupons_expired)
def announce_what_has_expired(coupon_ids: Sequence[int], now: datetime, **signal: object) -> None:
    """Webhooks tell of what has expired, and of which referral it was."""
    announce_expired(coupon_ids=coupon_ids, now=now)


@receiver(coupons_expiring)
def announce_what_expires_soon(days: int, after: datetime, until: datetime, now: datetime, **signal: object) -> None:
    """Webhooks tell of what expires soon, also to whom no mail goes."""
    announce_expiring(days=days, after=after, until=until, now=now)


@receiver(spend_recorded)
def hint_at_new_spend(**signal: object) -> None:
    """New spend is tracked soon. A broker that is down costs a minute, not the spend: the next beat finds the batch."""
    try:
        track_spend.apply_async()
    except (OperationalError, RedisError, OSError) as fault:
        logger.warning("No hint to track new spend: %s", type(fault).__name__)
