"""What the programme does when an account registers, is verified or gets a payment method: one call each, in the
sender's transaction."""

from datetime import datetime

from django.dispatch import receiver

from accounts.signals import accounts_registered, identity_verified, payment_method_added
from referrals.operations import admit, give_link, welcome_verified


@receiver(accounts_registered)
def admit_the_registered(user_ids: list[int], now: datetime, **signal: object) -> None:
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
