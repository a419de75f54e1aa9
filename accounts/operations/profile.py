"""What a customer says of themselves: name, language, time zone, which mails they want, and their address."""

from dataclasses import asdict, dataclass
from datetime import datetime

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.operations.known_addresses import remember_address
from accounts.operations.outbox import Message, write_messages
from accounts.operations.registration import make_way
from accounts.retries import retried

UNIQUE_ADDRESS = ("email_is_unique_on_lower_case", "unique_verified_email")


@dataclass(frozen=True)
class Profile:
    """A customer's own choices, by the names of the User's fields; an empty `language` is the browser's."""

    public_first_name: str
    language: str
    time_zone: str
    wants_friend_mail: bool
    wants_credit_mail: bool
    wants_expiry_mail: bool
    wants_account_mail: bool


class UnableToChangeAddress(Exception):
    """The address stays as it is; `code` is `unregistered` or `email`."""

    reasons = {
        "unregistered": "There is no registered account with this id.",
        "email": "The address belongs to another account.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


@retried
def change_profile(*, user_id: int, profile: Profile) -> None:
    """Keep what the customer has chosen; one statement."""
    User.objects.filter(pk=user_id).update(**asdict(profile))


@retried
@transaction.atomic
def change_address(*, user_id: int, email: str, now: datetime) -> bool:
    """Give a registered account an address that its holder has confirmed; False where it has it already.

    The former address is told and stays known, in the same transaction (TERMS: When things change). A sign-up with the
    new address that nobody has confirmed gives way. Locks the User, then the sign-up. Raises UnableToChangeAddress.
    """
    email = email.lower()
    users = User.objects.get_queryset().registered().filter(pk=user_id, closed_at=None)
    user = users.select_for_update(no_key=True, of=("self",)).first()
    if user is None:
        raise UnableToChangeAddress("unregistered")
    former = user.email
    if former == email:
        return False
    make_way(emails=[email])
    _move_to(user, email)
    remember_address(customer_id=user_id, email=former, now=now)
    told = Message(f"address_changed:{user_id}:{now.isoformat()}", "address_changed", user_id, recipient=former)
    write_messages(messages=[told], now=now)
    return True


def _move_to(user: User, email: str) -> None:
    """Move the account to the address, and allauth's own row with it. The unique keys decide who has an address."""
    user.email = email
    try:
        with transaction.atomic():
            user.save(update_fields=["email"])
            EmailAddress.objects.filter(user=user).delete()
            EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    except IntegrityError as conflict:
        if not any(name in str(conflict) for name in UNIQUE_ADDRESS):
            raise
        raise UnableToChangeAddress("email") from conflict
