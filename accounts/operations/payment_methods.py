"""Whether an account has a payment method on file, since when and until when (TERMS: Who may refer).

What stands behind it is known to the app that keeps payment methods; here is what it comes to.
"""

from datetime import datetime

from django.db import transaction

from accounts.models import User
from accounts.retries import retried
from accounts.signals import payment_method_added


class UnableToAddPaymentMethod(Exception):
    """There is no registered account with this id; `code` is `unregistered`."""

    code = "unregistered"

    def __init__(self) -> None:
        super().__init__("There is no registered account with this id.")


@retried
def add_payment_method(*, user_id: int, now: datetime) -> bool:
    """Put a payment method without an end on file and tell the apps above; return False where a usable one is there,
    and nothing changes.

    Raises UnableToAddPaymentMethod.
    """
    with transaction.atomic():
        account = User.objects.get_queryset().registered().filter(pk=user_id)
        lacking = account.filter(payment_method_added_at=None) | account.filter(payment_method_expires_at__lte=now)
        if lacking.update(payment_method_added_at=now, payment_method_expires_at=None):
            payment_method_added.send(sender=User, user_id=user_id, now=now)
            return True
        if not account.exists():
            raise UnableToAddPaymentMethod
        return False


def keep_payment_method(*, user_id: int, since: datetime | None, expires_at: datetime | None, now: datetime) -> None:
    """Record what an account's payment methods come to: on file since then (None: there is none), and usable before
    `expires_at` (None: without an end). Tells the apps above where it is usable now.

    The caller has locked the User and read the methods after that.
    """
    with transaction.atomic():
        kept = User.objects.filter(pk=user_id)
        kept.update(payment_method_added_at=since, payment_method_expires_at=expires_at)
        if since is not None and (expires_at is None or now < expires_at):
            payment_method_added.send(sender=User, user_id=user_id, now=now)


@retried
def remove_payment_method(*, user_id: int) -> bool:
    """Take the payment method off file; return False where there is none.

    Friends who have registered stay (TERMS: When things change).
    """
    on_file = User.objects.filter(pk=user_id, payment_method_added_at__isnull=False)
    return bool(on_file.update(payment_method_added_at=None, payment_method_expires_at=None))
