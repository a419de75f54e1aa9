"""Sign-up on the website: an account that waits for its e-mail address, registers once, or gives way (TERMS: What a new
customer gets)."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Lower

from accounts.models import AccountType, User
from accounts.retries import retried
from accounts.signals import accounts_registered

DISCARDED_AT_ONCE = 1_000


class UnableToSignUp(Exception):
    """The address belongs to an account that has registered, or to staff; `code` is `email`."""

    code = "email"

    def __init__(self) -> None:
        super().__init__("There is an account with this e-mail address.")


@retried
@transaction.atomic
def sign_up(
    *,
    email: str,
    password: str,
    country: str,
    attribution: Mapping[str, object],
    now: datetime,
    declared_type: AccountType = AccountType.INDIVIDUAL,
) -> User:
    """Open an account that waits for its address to be confirmed, and return it.

    An unconfirmed sign-up with the address gives way, also one that is committed at the same moment. `attribution` is
    kept raw, for registration. `declared_type` is what the customer says to be; what they get goes by what is verified.
    Locks the sign-up that gives way. Raises UnableToSignUp.
    """
    user = User(
        email=email.lower(),
        country=country,
        declared_type=declared_type,
        signup_attribution=dict(attribution),
        created_at=now,
    )
    user.set_password(password)
    make_way(emails=[email])
    while not _insert(user):
        # The address was taken since: by a sign-up, and then this newer one wins, or for good. A sign-up may be gone
        # before it can give way: another newer one was faster, and has the address now.
        if not make_way(emails=[email]) and _is_taken(email):
            raise UnableToSignUp
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    return user


@retried
def register(*, user_id: int, now: datetime) -> bool:
    """Register a sign-up whose address is confirmed, once, and tell the apps above; return whether this did it.

    One transaction with everything that registration brings. Members of staff do not register.
    """
    with transaction.atomic():
        if not User.objects.get_queryset().unconfirmed().filter(pk=user_id).update(registered_at=now):
            return False
        accounts_registered.send(sender=User, user_ids=[user_id], now=now)
        return True


@retried
def confirm_address(*, user_id: int, confirm: Callable[[], bool]) -> bool:
    """Carry out `confirm`, which marks an address as confirmed, in one transaction with the registration that follows.

    Returns False where there is nothing to confirm any more. `confirm` must bear being carried out twice. Locks the
    User, so that a newer sign-up with the address either waits and finds this one registered, or has come first and
    this one is gone.
    """
    with transaction.atomic():
        locked = User.objects.filter(pk=user_id).select_for_update(no_key=True, of=("self",)).first()
        return locked is not None and confirm()


def make_way(*, emails: Collection[str]) -> int:
    """Delete the unconfirmed sign-ups with these addresses; return how many there were. Locks them by pk."""
    addresses = {email.lower() for email in emails}
    sign_ups = User.objects.get_queryset().unconfirmed().annotate(address=Lower("email"))
    return _discard(sign_ups.filter(address__in=addresses))


def discard_unconfirmed(*, before: datetime) -> int:
    """Delete the sign-ups made at or before an instant and not confirmed since; return how many there were.

    One transaction for every thousand; a sign-up that is being confirmed this moment is left alone.
    """
    old = User.objects.get_queryset().unconfirmed().filter(created_at__lte=before)
    discarded = 0
    while chunk := _discard(old, limit=DISCARDED_AT_ONCE, skip_locked=True):
        discarded += chunk
    return discarded


def _is_taken(email: str) -> bool:
    holders = User.objects.annotate(address=Lower("email")).filter(address=email.lower())
    return holders.exclude(registered_at=None, is_staff=False).exists()


def _insert(user: User) -> bool:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as conflict:
        if "email_is_unique_on_lower_case" not in str(conflict):
            raise
        return False
    return True


@retried
@transaction.atomic
def _discard(sign_ups: QuerySet[User], *, limit: int | None = None, skip_locked: bool = False) -> int:
    # The full lock, since the rows go: it is judged on each row as last committed, so that none that has registered
    # meanwhile is among them.
    locked = sign_ups.order_by("pk").select_for_update(of=("self",), skip_locked=skip_locked)
    _, by_model = User.objects.filter(pk__in=[user.pk for user in locked[:limit]]).delete()
    return by_model.get("accounts.User", 0)
