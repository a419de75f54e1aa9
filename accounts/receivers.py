"""What accounts learn from allauth."""

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.dispatch import receiver

from accounts import clock
from accounts.operations import register


@receiver(email_confirmed)
def register_on_confirmation(email_address: EmailAddress, **signal: object) -> None:
    """A customer has registered when the e-mail address is confirmed, whichever page confirmed it."""
    register(user_id=email_address.user_id, now=clock.now())
