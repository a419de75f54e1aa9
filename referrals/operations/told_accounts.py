"""Accounts as the billing system tells of them: registered once, and changed by what it tells later."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.db import transaction

from accounts.models import AccountType, IdentityVerification, User
from accounts.operations import (
    AccountFact,
    Identity,
    UnableToChangeAddress,
    UnableToRegister,
    UnableToVerify,
    change_address,
    identity_digest,
    keyed_digest,
    record_person,
    record_unverified,
    record_verified,
    register_told,
)
from accounts.operations.imports import EARLIEST_REGISTRATION, LONGEST_ADDRESS
from accounts.retries import retried
from billing.operations import ToldMethod, record_told_method
from referrals.models import ReferralLink

CLOCKS_DIFFER = timedelta(minutes=5)
NO_LATER_THAN = datetime(3000, 1, 1, tzinfo=UTC)

REASONS = {
    "unknown": "There is no such account.",
    "closed": "The account is closed.",
    "conflict": "The account id is known with other content.",
    "referrer": "The referral code is unknown, or its owner registered later.",
    "time": "The payment method is on file since a time in the future or before 1970, or ends before that.",
    "type": "An individual becomes an enterprise by being verified as one, and stays an enterprise.",
    "email": "The e-mail address is none, or another account's.",
}


class UnableToTakeAccount(Exception):
    """The account is not registered or not changed, in nothing; `code` is of REASONS or TERMS (refused facts)."""

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(reason or REASONS[code])
        self.code = code


@dataclass(frozen=True)
class ToldAccount:
    """An account as the billing system tells of it. `referral_code` is what the customer gave at sign-up there."""

    fact: AccountFact
    referral_code: str
    verified: bool
    identity: Identity | None
    payment_method: ToldMethod | None


@dataclass(frozen=True)
class ToldChange:
    """What the billing system tells of an account that is known; None is what it says nothing of."""

    email: str | None = None
    account_type: str | None = None
    verified: bool | None = None
    identity: Identity | None = None
    payment_method: ToldMethod | None = None
    takes_method_off: bool = False


@retried
@transaction.atomic
def take_account(*, told: ToldAccount, now: datetime) -> User:
    """Register an account with all that is told of it, or nothing; the same content again changes nothing.

    The code of a link that is off brings the trial, and no referrer (TERMS: When things change). Locks out imports of
    accounts. Raises UnableToTakeAccount.
    """
    if told.payment_method:
        _require_possible(told.payment_method, now)
    link = _link(told.referral_code)
    content = _digest_of(told)
    kept = {"code": link.code if link else "", "content": content}
    try:
        user, is_new = register_told(fact=told.fact, attribution={k: v for k, v in kept.items() if v}, now=now)
    except UnableToRegister as refusal:
        raise UnableToTakeAccount(refusal.code, str(refusal)) from refusal
    if user.signup_attribution.get("content", "") != content:
        raise UnableToTakeAccount("conflict")
    if told.referral_code and (link is None or not _was_there(link, before=user)):
        raise UnableToTakeAccount("referrer")
    if is_new:
        _record_person_and_method(user, told, now)
    return user


@retried
@transaction.atomic
def change_account(*, account_id: str, change: ToldChange, now: datetime) -> User:
    """Change what the billing system tells anew of an account, all of it or nothing, and return the account.

    The address that it had is told, and stays known. An individual that is verified as an enterprise becomes one, and
    gets the difference once (TERMS: What a new customer gets). Locks the User. Raises UnableToTakeAccount.
    """
    if change.payment_method:
        _require_possible(change.payment_method, now)
    # Two changes of one account at once: the second waits, and judges by what the first has left.
    users = User.objects.get_queryset().registered().filter(account_id=account_id)
    user = users.select_for_update(no_key=True, of=("self",)).first()
    if user is None:
        raise UnableToTakeAccount("unknown")
    if user.closed_at:
        raise UnableToTakeAccount("closed")
    _change_person(user, change, now)
    if change.payment_method or change.takes_method_off:
        record_told_method(customer_id=user.pk, told=change.payment_method, now=now)
    if change.email is not None:
        _change_address(user, change.email, now)
    return User.objects.get(pk=user.pk)


def _require_possible(method: ToldMethod, now: datetime) -> None:
    ends = method.expires_at or NO_LATER_THAN
    if not EARLIEST_REGISTRATION <= method.since <= now + CLOCKS_DIFFER or not method.since < ends <= NO_LATER_THAN:
        raise UnableToTakeAccount("time")


def _link(code: str) -> ReferralLink | None:
    """The link with this code, on or off, however its letters are typed."""
    if not code or "\0" in code:
        return None
    return ReferralLink.objects.select_related("owner").filter(code__in={code, code.lower()}).first()


def _was_there(link: ReferralLink, *, before: User) -> bool:
    owner = link.owner
    is_older = owner.registered_at and before.registered_at and owner.registered_at <= before.registered_at
    return bool(is_older) and owner.pk != before.pk


def _digest_of(told: ToldAccount) -> str:
    """What is told beside the facts of a file, so that other content is known as such; empty where there is nothing."""
    method = told.payment_method
    parts = [
        told.referral_code.lower(),
        told.verified,
        _person(told.identity),
        [method.since.timestamp(), method.expires_at and method.expires_at.timestamp(), method.fingerprint]
        if method
        else None,
    ]
    return keyed_digest(f"account|{json.dumps(parts)}") if any(parts) else ""


def _person(identity: Identity | None) -> str:
    try:
        return identity_digest(identity) if identity else ""
    except UnableToVerify as refusal:
        raise UnableToTakeAccount(refusal.code, str(refusal)) from refusal


def _record_person_and_method(user: User, told: ToldAccount, now: datetime) -> None:
    if told.verified or told.identity:
        _record_person(user, told.identity, user.account_type, now, verified=told.verified)
    if told.payment_method:
        record_told_method(customer_id=user.pk, told=told.payment_method, now=now)


def _change_person(user: User, change: ToldChange, now: datetime) -> None:
    wanted = change.account_type or user.account_type
    grows = wanted != user.account_type
    if change.verified is False:
        record_unverified(user_id=user.pk)
    passed = IdentityVerification.objects.filter(customer=user, state=IdentityVerification.State.PASSED)
    verified = bool(change.verified) or passed.exists()
    if grows and not (verified and wanted == AccountType.ENTERPRISE):
        raise UnableToTakeAccount("type")
    if change.verified or change.identity or grows:
        _record_person(user, change.identity, wanted, now, verified=verified)


def _record_person(user: User, identity: Identity | None, account_type: str, now: datetime, *, verified: bool) -> None:
    try:
        if verified:
            record_verified(user_id=user.pk, identity=identity, account_type=account_type, now=now)
        elif identity:
            record_person(user_id=user.pk, identity=identity, account_type=account_type, now=now)
    except UnableToVerify as refusal:
        raise UnableToTakeAccount(refusal.code, str(refusal)) from refusal


def _change_address(user: User, email: str, now: datetime) -> None:
    try:
        if len(email) > LONGEST_ADDRESS:
            raise UnableToChangeAddress("email")
        EmailValidator()(email)
        change_address(user_id=user.pk, email=email, now=now)
    except (ValidationError, UnableToChangeAddress) as refusal:
        raise UnableToTakeAccount("email") from refusal
