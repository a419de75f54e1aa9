"""What the billing system tells of one account: that it has registered, and who its person is."""

from collections.abc import Mapping
from datetime import datetime

from django.db import connection, transaction

from accounts.models import IdentityVerification, User
from accounts.operations import imports_sql as sql
from accounts.operations.identifiers import keyed_digest
from accounts.operations.imports import REFUSALS, AccountFact, register_staged, stage
from accounts.operations.verification import (
    Identity,
    UnableToVerify,
    identity_digest,
    let_pass,
    number_tail,
)
from accounts.signals import accounts_registered


class UnableToRegister(Exception):
    """The account is not registered; `code` is one of TERMS "Facts that are refused", for accounts."""

    def __init__(self, code: str) -> None:
        super().__init__(f"{REFUSALS[code][0].upper()}{REFUSALS[code][1:]}.")
        self.code = code


def register_told(*, fact: AccountFact, attribution: Mapping[str, str], now: datetime) -> tuple[User, bool]:
    """Register one account as a file of accounts would, and return it, and whether it is new; one that is known with
    this content stays as it is.

    `attribution` is kept beside what the fact says of the referrer, before the apps above are told: a `code` counts as
    in a sign-up. Locks out other imports of accounts. Raises UnableToRegister.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        stage(cursor, [fact])
        user_ids = register_staged(cursor, now)
        cursor.execute(sql.COUNT_VERDICTS)
        ((verdict, _),) = cursor.fetchall()
        cursor.execute(sql.CLEAR)
        if verdict in REFUSALS:
            raise UnableToRegister(verdict)
        user = User.objects.get(account_id=fact.account_id)
        if user_ids:
            user.signup_attribution |= attribution
            user.save(update_fields=["signup_attribution"])
            accounts_registered.send(sender=User, user_ids=[user.pk], now=now)
        return user, bool(user_ids)


def record_verified(*, user_id: int, identity: Identity | None, account_type: str, now: datetime) -> bool:
    """Record that an account is verified, as this person or as whom is known already; False where that is so.

    Unlike a document that passes here, it replaces what has passed. Of whom nothing is known counts as a person of
    their own. An account verified as an enterprise becomes one, and gets what it misses. Of the number, a keyed digest
    and the last three characters are kept. Locks the User. Raises UnableToVerify: identity, number, unregistered.
    """
    document = _document(identity)
    with transaction.atomic():
        found = _lock(user_id)
        digest = identity_digest(identity) if identity else _known_person(user_id, found)
        if found and found.has_passed and (found.identity_digest, found.account_type) == (digest, account_type):
            return False
        let_pass(user_id, digest, account_type, now, **document)
        return True


def record_person(*, user_id: int, identity: Identity, account_type: str, now: datetime) -> None:
    """Record whom a document names that the billing system has not verified: it waits for staff, as one submitted here.

    Locks the User. Raises UnableToVerify: identity, number, unregistered.
    """
    waits = {**_document(identity), "submitted_digest": identity_digest(identity), "submitted_type": account_type}
    with transaction.atomic():
        found = _lock(user_id)
        if found is None or found.submitted_digest != waits["submitted_digest"]:
            state = IdentityVerification.State.IN_REVIEW
            defaults = {"state": state, "submitted_at": now, **waits}
            IdentityVerification.objects.update_or_create(customer_id=user_id, defaults=defaults)


def record_unverified(*, user_id: int) -> bool:
    """Record that an account is not verified any more; False where it is not. Its link works no more.

    What waits for staff here goes on waiting. Locks the User. Raises UnableToVerify: unregistered.
    """
    with transaction.atomic():
        found = _lock(user_id)
        if found is None or not found.has_passed:
            return False
        found.state, found.passed_at, found.is_eligible = IdentityVerification.State.REFUSED, None, False
        found.submitted_digest = ""
        found.save(update_fields=["state", "passed_at", "is_eligible", "submitted_digest"])
        return True


def _document(identity: Identity | None) -> dict[str, object]:
    if identity is None:
        return {}
    tail = number_tail(identity)
    return {"legal_name": "", "country": identity.country, "document_kind": identity.document_kind, "number_tail": tail}


def _known_person(user_id: int, found: IdentityVerification | None) -> str:
    known = (found.identity_digest or found.submitted_digest) if found else ""
    return known or keyed_digest(f"person of account {user_id}")


def _lock(user_id: int) -> IdentityVerification | None:
    # Two calls on one account at once: the second waits, and reads what the first has recorded.
    users = User.objects.get_queryset().registered().filter(pk=user_id)
    if users.select_for_update(no_key=True, of=("self",)).first() is None:
        raise UnableToVerify("unregistered")
    return IdentityVerification.objects.filter(customer_id=user_id).first()
