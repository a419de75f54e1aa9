"""Who an account's person is: submitted, decided by staff, or recorded as a fact (TERMS: Who may refer)."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import AccountType, IdentityVerification, KnownIdentifier, User
from accounts.operations.identifiers import keyed_digest, remember_identifier
from accounts.operations.outbox import Message, write_messages
from accounts.retries import retried
from accounts.signals import identity_verified

TAIL = 3
"""Characters of a document's number that are kept."""

SHORTEST_NUMBER = 5
"""Letters and digits of a number that is submitted, so that what is kept is not most of it."""

OF_NO_DOCUMENT: Mapping[str, object] = {
    "legal_name": "",
    "country": "",
    "document_kind": "",
    "number_tail": "",
    "submitted_at": None,
}


class Identity(NamedTuple):
    """A person or company, as a document names it. It is kept as a keyed digest only."""

    country: str
    document_kind: str
    number: str


class Submission(NamedTuple):
    """What a customer submits to be verified by."""

    account_type: str
    legal_name: str
    identity: Identity


class UnableToVerify(Exception):
    """Verification cannot be submitted, decided or recorded; `code` is one of `reasons`."""

    reasons = {
        "identity": _("An identity has a country, a kind of document and a number."),
        "number": _("The number is too short: it has at least %(least)d letters and digits."),
        "name": _("A submission has the legal name that the document shows."),
        "unregistered": _("There is no registered account with this id."),
        "passed": _("The account has passed verification already."),
        "in_review": _("What was submitted before is still being looked at."),
        "nothing": _("Nothing is waiting for a decision."),
        "reason": _("A refusal needs a reason: the customer reads it."),
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code] % {"least": SHORTEST_NUMBER})
        self.code = code


@retried
def submit_verification(
    *, user_id: int, submission: Submission, passes_at_once: bool = False, now: datetime
) -> IdentityVerification:
    """Submit a document for staff to look at, and return where verification stands now.

    Of the number, a keyed digest and the last three characters are kept. Who was refused may submit again, and an
    individual that has passed may as an enterprise; until that is decided, what has passed stands. `passes_at_once` is
    the demo's. Locks the User. Raises UnableToVerify: identity, number, name, unregistered, passed, in_review.
    """
    digest = identity_digest(submission.identity)
    tail = number_tail(submission.identity)
    if not submission.legal_name.strip():
        raise UnableToVerify("name")
    with transaction.atomic():
        before = _lock_unless_passed(user_id, as_type=submission.account_type)
        if before and before.is_in_review:
            raise UnableToVerify("in_review")
        state = before.state if before and before.has_passed else IdentityVerification.State.IN_REVIEW
        submitted = {
            "state": state,
            "legal_name": submission.legal_name.strip(),
            "country": submission.identity.country,
            "document_kind": submission.identity.document_kind,
            "number_tail": tail,
            "submitted_at": now,
            "submitted_digest": digest,
            "submitted_type": submission.account_type,
            "decided_at": None,
            "decided_by": None,
            "refusal_reason": "",
        }
        verification, _is_new = IdentityVerification.objects.update_or_create(customer_id=user_id, defaults=submitted)
        return _pass_submitted(verification, actor=None, now=now) if passes_at_once else verification


@retried
def decide_verification(
    *, verification_id: int, passes: bool, reason: str = "", actor: User | None, now: datetime
) -> IdentityVerification:
    """Decide on what was submitted, tell the customer by mail, and return where verification stands now.

    A refusal needs a reason, and leaves what has passed before as it was. Locks the User. Raises UnableToVerify:
    reason, nothing.
    """
    if not passes and not reason.strip():
        raise UnableToVerify("reason")
    with transaction.atomic():
        submitted = _lock_submitted(verification_id)
        if passes:
            return _pass_submitted(submitted, actor=actor, now=now)
        return _refuse_submitted(submitted, reason=reason.strip(), actor=actor, now=now)


@retried
def pass_verification(*, user_id: int, identity: Identity, account_type: str, now: datetime) -> IdentityVerification:
    """Record that an account has passed verification, and tell the apps above; return what is recorded.

    A fact, as the billing system or staff know it: what was submitted here is void. Of several accounts with one
    identity the first is eligible to refer: the unique constraint decides. An account verified as a company becomes an
    enterprise; an individual may pass again as one. Locks the User. Raises UnableToVerify: identity, unregistered,
    passed.
    """
    digest = identity_digest(identity)
    with transaction.atomic():
        _lock_unless_passed(user_id, as_type=account_type)
        return let_pass(user_id, digest, account_type, now, **OF_NO_DOCUMENT)


@retried
def refuse_verification(*, user_id: int) -> bool:
    """Record that an account has not passed verification; return False where that is recorded already.

    Locks the User. Raises UnableToVerify: unregistered, passed.
    """
    with transaction.atomic():
        _lock_unless_passed(user_id, as_type=None)
        refused = {"state": IdentityVerification.State.REFUSED, "is_eligible": False, "submitted_digest": ""}
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
    return keyed_digest("|".join(parts))


def number_tail(identity: Identity) -> str:
    """Return what is kept of a document's number in plain. Raises UnableToVerify: number."""
    number = _normalised(identity.number)
    if len(number) < SHORTEST_NUMBER:
        raise UnableToVerify("number")
    return number[-TAIL:]


def _normalised(part: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFKC", part).upper() if character.isalnum())


def _lock_unless_passed(user_id: int, *, as_type: str | None) -> IdentityVerification | None:
    """Lock the account, and return its verification as it stands after that."""
    # Two verifications of one account at once: the second waits, and reads what the first has recorded.
    account = (
        User.objects.get_queryset().registered().filter(pk=user_id).select_for_update(no_key=True, of=("self",)).first()
    )
    if account is None:
        raise UnableToVerify("unregistered")
    found = IdentityVerification.objects.filter(customer_id=user_id).first()
    upgrade = as_type == AccountType.ENTERPRISE
    if found and found.has_passed and not (upgrade and found.account_type == AccountType.INDIVIDUAL):
        raise UnableToVerify("passed")
    return found


def _lock_submitted(verification_id: int) -> IdentityVerification:
    # Two decisions on one submission at once: the second waits, and finds that nothing is left to decide.
    owner = IdentityVerification.objects.filter(pk=verification_id).values("customer_id")
    User.objects.filter(pk__in=owner).select_for_update(no_key=True, of=("self",)).first()
    submitted = IdentityVerification.objects.filter(pk=verification_id).first()
    if submitted is None or not submitted.is_in_review:
        raise UnableToVerify("nothing")
    return submitted


def _pass_submitted(submitted: IdentityVerification, *, actor: User | None, now: datetime) -> IdentityVerification:
    user_id, account_type = submitted.customer_id, submitted.submitted_type
    verification = let_pass(
        user_id, submitted.submitted_digest, account_type, now, decided_at=now, decided_by=actor, refusal_reason=""
    )
    _tell(submitted, "passed", "", now)
    return verification


def _refuse_submitted(
    submitted: IdentityVerification, *, reason: str, actor: User | None, now: datetime
) -> IdentityVerification:
    state = submitted.state if submitted.has_passed else IdentityVerification.State.REFUSED
    IdentityVerification.objects.filter(pk=submitted.pk).update(
        state=state, submitted_digest="", decided_at=now, decided_by=actor, refusal_reason=reason
    )
    _tell(submitted, "refused", reason, now)
    return IdentityVerification.objects.get(pk=submitted.pk)


def _tell(submitted: IdentityVerification, outcome: str, reason: str, now: datetime) -> None:
    """Write the mail, once for each submission."""
    assert submitted.submitted_at
    message = Message(
        key=f"verification_decided:{submitted.customer_id}:{submitted.submitted_at.isoformat()}",
        kind="verification_decided",
        customer_id=submitted.customer_id,
        facts={"outcome": outcome, "reason": reason, "account_type": submitted.submitted_type},
    )
    write_messages(messages=[message], now=now)


def let_pass(user_id: int, digest: str, account_type: str, now: datetime, **recorded: object) -> IdentityVerification:
    """Record it with all that it brings. The caller has locked the User."""
    verification = _record_passed(user_id, digest, account_type, now, **recorded)
    remember_identifier(kind=KnownIdentifier.Kind.IDENTITY, digest=digest, customer_id=user_id, now=now)
    if account_type == AccountType.ENTERPRISE:
        User.objects.filter(pk=user_id, account_type=AccountType.INDIVIDUAL).update(account_type=account_type)
    identity_verified.send(sender=User, user_id=user_id, now=now)
    return verification


def _record_passed(
    user_id: int, digest: str, account_type: str, now: datetime, **recorded: object
) -> IdentityVerification:
    passed = {
        "state": IdentityVerification.State.PASSED,
        "identity_digest": digest,
        "account_type": account_type,
        "passed_at": now,
        "submitted_digest": "",
        **recorded,
    }
    try:
        with transaction.atomic():
            verification, _is_new = IdentityVerification.objects.update_or_create(
                customer_id=user_id, defaults={**passed, "is_eligible": True}
            )
    except IntegrityError as conflict:
        if "one_account_of_a_person_is_eligible" not in str(conflict):
            raise
        verification, _is_new = IdentityVerification.objects.update_or_create(
            customer_id=user_id, defaults={**passed, "is_eligible": False}
        )
    return verification
