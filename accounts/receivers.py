"""What accounts learn from allauth, and from themselves after a commit."""

import logging

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.dispatch import receiver
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from accounts import clock
from accounts.operations import register
from accounts.signals import messages_written
from accounts.tasks import deliver_outbox

logger = logging.getLogger(__name__)


@receiver(email_confirmed)
def register_on_confirmation(email_address: EmailAddress, **signal: object) -> None:
    """A customer has registered when the e-mail address is confirmed, whichever page confirmed it."""
    register(user_id=email_address.user_id, now=clock.now())


@receiver(messages_written)
def hint_at_mail(**signal: object) -> None:
    """Mail goes out at once. A broker that is down costs a minute, not the mail: the next beat finds it."""
    try:
        deliver_outbox.apply_async()
    except (OperationalError, RedisError, OSError) as fault:
        logger.warning("No hint to deliver mail: %s", type(fault).__name__)
