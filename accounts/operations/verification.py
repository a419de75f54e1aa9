"""A payment method on file, and who an account's person is: what a customer needs to refer (TERMS: Who may refer)."""

import hashlib
import hmac
import unicodedata
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import AccountType, IdentityVerification, User
from accounts.retries import retried
from accounts.signals import identity_verified, payment_method_added


class Identity(NamedTuple):
    """A person or company, as a document names it. It is kept as a keyed digest only."""

    country: str
    document_kind: str
    number: str


class UnableToVerify(Exception):
    """Verification cannot be recorded; `code` is `identity`, `unregistered` or `passed`."""

    reasons = {
        "identity": "An identity has a country, a kind of document and a number.",
        "unregistered": "There is no registered account with this id.",
        "passed": "The account has passed verification already.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


class UnableToAddPaymentMethod(Exception):
    """There is no registered account with this id; `code` is `unregistered`."""

    code = "unregistered"

    def __init__(self) -> None:
        super().__init__("There is no registered account with this id.")


@retried
def add_payment_method(*, user_id: int, now: datetime) -> bool:
    """Put a payment method on file and tell the apps above; return False where there is one, and nothing changes.

    Raises UnableToAddPaymentMethod.
    """
    with transaction.atomic():
        account = User.objects.get_queryset().registered().filter(pk=user_id)
        if account.filter(payment_method_added_at=None).update(payment_method_added_at=now):
            payment_method_added.send(sender=User, user_id=user_id, now=now)
            return True
        if not account.exists():
            raise UnableToAddPaymentMethod
        return False


@retried
def remove_payment_method(*, user_id: int) -> bool:
    """Take the payment method off file; return False where there is none.

    Friends who have registered stay (TERMS: When things change).
    """
    on_file = User.objects.filter(pk=user_id, payment_method_added_at__isnull=False)
    return bool(on_file.update(payment_method_added_at=None))


@retried
def pass_verification(*, user_id: int, identity: Identity, account_type: str, now: datetime) -> IdentityVerification:
    """Record that an account has passed verification, and tell the apps above; return what is recorded.

    Of several accounts with one identity the first is eligible to refer: the unique constraint decides. An account
    verified as a company becomes an enterprise; an individual may pass again as one. Locks the User. Raises
    UnableToVerify: identity, unregistered, passed.
    """
    digest = identity_digest(identity)
    with transaction.atomic():
        _lock_unless_passed(user_id, as_type=account_type)
        verification = _record_passed(user_id, digest, account_type, now)
        if account_type == AccountType.ENTERPRISE:
            User.objects.filter(pk=user_id, account_type=AccountType.INDIVIDUAL).update(account_type=account_type)
        identity_verified.send(sender=User, user_id=user_id, now=now)
    return verification


@retried
def refuse_verification(*, user_id: int) -> bool:
    """Record that an account has not passed verification; return False where that is recorded already.

    Locks the User. Raises UnableToVerify: unregistered, passed.
    """
    with transaction.atomic():
        _lock_unless_passed(user_id, as_type=None)
        refused = {"state": IdentityVerification.State.REFUSED, "is_eligible": False}
        if IdentityVerification.objects.filter(customer_id=user_id, **refused).exists():
            return False
        IdentityVerification.objects.update_or_create(customer_id=user_id, defaults=refused)
        return True


def identity_digest(identity: Identity) -> str:
    """Return the keyed digest of an identity, the same however its parts are spaced, hyphenated or cased.

    Raises UnableToVerify: identity.
    """
    parts = [_normalised(part) for part in identity]
    if not all(parts):
        raise UnableToVerify("identity")
    return hmac.new(settings.IDENTITY_DIGEST_KEY.encode(), "|".join(parts).encode(), hashlib.sha256).hexdigest()


def _normalised(part: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFKC", part).upper() if character.isalnum())


def _lock_unless_passed(user_id: int, *, as_type: str | None) -> None:
    # Two verifications of one account at once: the second waits, and reads what the first has recorded.
    account = (
        User.objects.get_queryset().registered().filter(pk=user_id).select_for_update(no_key=True, of=("self",)).first()
    )
    if account is None:
        raise UnableToVerify("unregistered")
    passed = IdentityVerification.objects.filter(customer_id=user_id, state=IdentityVerification.State.PASSED).first()
    upgrade = as_type == AccountType.ENTERPRISE
    if passed and not (upgrade and passed.account_type == AccountType.INDIVIDUAL):
        raise UnableToVerify("passed")


def _record_passed(user_id: int, digest: str, account_type: str, now: datetime) -> IdentityVerification:
    passed = {
        "state": IdentityVerification.State.PASSED,
        "identity_digest": digest,
        "account_type": account_type,
        "passed_at": now,
    }
    try:
        with transaction.atomic():
            verification, _ = IdentityVerification.objects.update_or_create(
                customer_id=user_id, defaults={**passed, "is_eligible": True}
            )
    except IntegrityError as conflict:
        if "one_account_of_a_person_is_eligible" not in str(conflict):
            raise
        verification, _ = IdentityVerification.objects.update_or_create(
            customer_id=user_id, defaults={**passed, "is_eligible": False}
        )
    return verification
