"""The API's doors of accounts: what the billing system tells of its customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from accounts import clock
from accounts.api_door import AccountId, Instant, Key, Problem, ProblemOut, Word
from accounts.models import AccountType, ApiKey, IdentityVerification
from accounts.operations import AccountFact, Identity
from billing.operations import ToldMethod
from credits.api import router as credit
from referrals.operations.told_accounts import (
    ToldAccount,
    ToldChange,
    UnableToTakeAccount,
    change_account,
    take_account,
)
from referrals.queries.told_accounts import StandingAccount, referrer_of, standing_account

STATUSES = {"unknown": 404, "closed": 409, "conflict": 409}


def _none() -> Any:
    return None


Cell = Annotated[str, StringConstraints(strict=True, max_length=1000)]
Flag = Annotated[bool, Field(strict=True)]

router = Router(tags=["accounts"])


class PaymentMethodIn(Schema):
    """A payment method that the billing system has on file. Never a card number."""

    model_config = ConfigDict(extra="forbid")

    on_file_since: Instant = Field(examples=["2026-01-05T09:00:00Z"])
    expires_at: Instant | None = Field(None, examples=["2029-02-01T00:00:00Z"], description="null: without an end")
    card_fingerprint: Word | None = Field(
        None, examples=["fp-9c1e22"], description="the same whoever enters the card; never its number"
    )

    def told(self) -> ToldMethod:
        """As the operation takes it."""
        return ToldMethod(self.on_file_since, self.expires_at, self.card_fingerprint or "")


class IdentityIn(Schema):
    """Whom a document names. Of the number, a keyed digest and the last three characters are kept."""

    model_config = ConfigDict(extra="forbid")

    country: Annotated[str, StringConstraints(strict=True, pattern="^[A-Za-z]{2}$")] = Field(examples=["DE"])
    document_kind: IdentityVerification.Document = Field(examples=["passport"])
    number: Word = Field(examples=["C01X00T47"])

    def told(self) -> Identity:
        """As the operation takes it."""
        return Identity(self.country.upper(), self.document_kind.value, self.number)


class AccountIn(Schema):
    """A customer, in the fields of the accounts file and what is known beside them."""

    model_config = ConfigDict(extra="forbid")

    account_id: Cell = Field(examples=["acct-8"])
    email: Cell = Field(examples=["bob@example.com"])
    account_type: Cell = Field(examples=["individual"], description="individual or enterprise")
    country: Cell = Field("", examples=["DE"])
    registered_at: Cell = Field(examples=["2026-01-05T09:00:00Z"])
    referred_by: Cell = Field("", examples=["acct-7"], description="the referrer's account_id, as a fact")
    referral_code: Cell = Field("", examples=[""], description="what the customer gave at sign-up, instead")
    verified: Flag = Field(False, examples=[True], description="whether this person has been verified")
    identity: IdentityIn | None = Field(default_factory=lambda: None)
    payment_method: PaymentMethodIn | None = Field(default_factory=lambda: None)

    @model_validator(mode="after")
    def names_one_referrer(self) -> AccountIn:
        """A customer was referred by an account or by a code."""
        if self.referred_by and self.referral_code:
            raise ValueError("referred_by and referral_code exclude each other")
        return self

    def told(self) -> ToldAccount:
        """As the operation takes it."""
        fact = AccountFact(
            1, self.account_id, self.email, self.account_type, self.country, self.registered_at, self.referred_by
        )
        return ToldAccount(
            fact,
            self.referral_code,
            self.verified,
            self.identity.told() if self.identity else None,
            self.payment_method.told() if self.payment_method else None,
        )


class AccountChangeIn(Schema):
    """What has changed; what is not named stays. `payment_method` null: there is none any more."""

    model_config = ConfigDict(extra="forbid")

    # Without a default that the schema would name: what is not sent is not null.
    email: Cell = Field(default_factory=lambda: "", examples=["robert@example.com"])
    account_type: AccountType = Field(default_factory=lambda: AccountType.INDIVIDUAL, examples=["enterprise"])
    verified: Flag = Field(default_factory=lambda: False, examples=[True])
    identity: IdentityIn = Field(default_factory=_none)
    payment_method: PaymentMethodIn | None = Field(default_factory=lambda: None)

    def told(self) -> ToldChange:
        """As the operation takes it."""
        named = self.model_fields_set
        method = self.payment_method.told() if self.payment_method else None
        return ToldChange(
            email=self.email if "email" in named else None,
            account_type=self.account_type.value if "account_type" in named else None,
            verified=self.verified if "verified" in named else None,
            identity=self.identity.told() if "identity" in named else None,
            payment_method=method,
            takes_method_off="payment_method" in named and method is None,
        )


class PaymentMethodOut(Schema):
    """What is recorded of a payment method."""

    on_file_since: datetime
    expires_at: datetime | None
    card_fingerprint: str | None


class AccountOut(Schema):
    """What is recorded of an account. `referred_by` is who referred it, for good."""

    account_id: str = Field(examples=["acct-8"])
    email: str = Field(examples=["bob@example.com"])
    account_type: str = Field(examples=["individual"])
    country: str = Field(examples=["DE"])
    registered_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])
    referred_by: str | None = Field(examples=["acct-7"])
    verified: bool
    payment_method: PaymentMethodOut | None


@router.post(
    "/accounts",
    auth=Key(ApiKey.Scope.ACCOUNTS_WRITE),
    response={201: AccountOut, (400, 401, 403, 409, 413, 422, 429): ProblemOut},
    summary="Register a customer",
)
def post_account(request: HttpRequest, account: AccountIn) -> Status[AccountOut]:
    """Register a customer, all of it or nothing. The same content again answers the same; other content is 409.

    A code whose link is off brings the trial, and no referrer; a code that nobody has is refused.
    """
    try:
        user = take_account(told=account.told(), now=clock.now())
    except UnableToTakeAccount as refusal:
        raise _problem(refusal) from refusal
    assert user.registered_at
    answer = AccountOut(
        account_id=account.account_id,
        email=account.email.lower(),
        account_type=account.account_type,
        country=account.country,
        registered_at=user.registered_at,
        referred_by=referrer_of(user_id=user.pk),
        verified=account.verified,
        payment_method=PaymentMethodOut(**account.payment_method.dict()) if account.payment_method else None,
    )
    return Status(201, answer)


@router.patch(
    "/accounts/{path:account_id}",
    auth=Key(ApiKey.Scope.ACCOUNTS_WRITE),
    response={200: AccountOut, (400, 401, 403, 404, 409, 413, 422, 429): ProblemOut},
    summary="Change what is known of a customer",
)
def patch_account(request: HttpRequest, account_id: AccountId, change: AccountChangeIn) -> AccountOut:
    """Change an address (the former one is told), verification, payment method, or an individual into an enterprise."""
    try:
        user = change_account(account_id=account_id, change=change.told(), now=clock.now())
    except UnableToTakeAccount as refusal:
        raise _problem(refusal) from refusal
    return _as_it_stands(standing_account(user=user))


@credit.patch(
    "/accounts/{path:account_id}/credit",
    auth=Key(ApiKey.Scope.ACCOUNTS_WRITE),
    response={200: AccountOut, (400, 401, 403, 404, 409, 413, 422, 429): ProblemOut},
    summary="Change what is known of a customer whose id ends in /credit",
    tags=router.tags,
)
def patch_account_named_credit(request: HttpRequest, account_id: AccountId, change: AccountChangeIn) -> AccountOut:
    """The same call as for every other account: this address is that of such an id, whose slash is not told from one
    of the address. Credit itself is changed by redemptions."""
    return patch_account(request, f"{account_id}/credit", change)


def _problem(refusal: UnableToTakeAccount) -> Problem:
    code = "account" if refusal.code == "unknown" else refusal.code
    return Problem(STATUSES.get(refusal.code, 422), code, str(refusal))


def _as_it_stands(account: StandingAccount) -> AccountOut:
    user, method = account.user, account.method
    assert user.registered_at
    return AccountOut(
        account_id=user.account_id,
        email=user.email,
        account_type=user.account_type,
        country=user.country,
        registered_at=user.registered_at,
        referred_by=account.referrer,
        verified=account.is_verified,
        payment_method=PaymentMethodOut(
            on_file_since=method.added_at, expires_at=method.expires_at, card_fingerprint=method.fingerprint or None
        )
        if method
        else None,
    )
