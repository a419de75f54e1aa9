"""What closing an account does to the account itself (TERMS: When things change)."""

from datetime import datetime

from allauth.account.models import EmailAddress

from accounts.models import User
from accounts.operations.known_addresses import remember_address
from accounts.operations.second_factor import remove_second_factors

RELEASED = "closed-{pk}@closed.invalid"
"""Where the address of a closed account stood: the address itself is free for a sign-up, its digest stays known."""


class UnableToClose(Exception):
    """The account stays open; `code` is `unknown`, `already` or `staff`."""

    reasons = {
        "unknown": "There is no registered account with this id.",
        "already": "The account is closed already.",
        "staff": "A member of staff does not close their account here.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


def lock_to_close(*, user_id: int) -> User:
    """Lock a customer's account that can be closed, in the caller's transaction; return it. Raises UnableToClose."""
    # Two closings at once: the second waits, and finds the account closed.
    user = User.objects.select_for_update(no_key=True, of=("self",)).filter(pk=user_id).first()
    if user is None or not user.is_registered:
        raise UnableToClose("unknown")
    if user.is_staff:
        raise UnableToClose("staff")
    if user.closed_at is not None:
        raise UnableToClose("already")
    return user


def shut(*, user: User, now: datetime) -> None:
    """Let nobody sign in to the account any more, and give its address free; its digest stays known.

    The caller has locked the User.
    """
    remember_address(customer_id=user.pk, email=user.email, now=now)
    EmailAddress.objects.filter(user=user).delete()
    remove_second_factors(user_id=user.pk)
    user.email = RELEASED.format(pk=user.pk)
    user.set_unusable_password()
    user.public_first_name = ""
    user.is_active = False
    user.closed_at = now
    user.save(update_fields=["email", "password", "public_first_name", "is_active", "closed_at"])
