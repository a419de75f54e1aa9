"""Customers, what identifies them, and the files that bring them in."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.ledger import append_only
from accounts.webhook_models import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
    WebhookSecret,
    WebhookType,
)

__all__ = [
    "AccountType",
    "ApiKey",
    "ClockOffset",
    "EligibilityMove",
    "IdentityVerification",
    "ImportRun",
    "KnownIdentifier",
    "OutboxMessage",
    "ParkedRow",
    "RefusedFact",
    "User",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookSecret",
    "WebhookType",
    "new_account_id",
    "usable_payment_method",
]


class AccountType(models.TextChoices):
    INDIVIDUAL = "individual"
    ENTERPRISE = "enterprise"


def new_account_id() -> str:
    """Return an account id for a customer who signs up here; one that is imported brings its own."""
    return f"acct-{secrets.token_hex(8)}"


def usable_payment_method(at: datetime, *, of: str = "") -> models.Q:
    """The condition that an account, at the end of the path `of`, has a payment method on file that is usable then."""
    endless = models.Q((f"{of}payment_method_expires_at__isnull", True))
    before_its_end = models.Q((f"{of}payment_method_expires_at__gt", at))
    return models.Q((f"{of}payment_method_added_at__isnull", False)) & (endless | before_its_end)


class UserQuerySet(models.QuerySet["User"]):
    def registered(self) -> UserQuerySet:
        return self.filter(registered_at__isnull=False)

    def unconfirmed(self) -> UserQuerySet:
        return self.filter(registered_at__isnull=True, is_staff=False)

    def told_by_mail(self, *, though_closed: bool = False) -> UserQuerySet:
        """Who has an account here, and not only with the billing system, and is a customer still."""
        own = self.filter(models.Q(last_login__isnull=False) | ~models.Q(signup_attribution__has_key="fact"))
        return own if though_closed else own.filter(closed_at__isnull=True, is_active=True)


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").lower())

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A customer's account, or a member of staff.

    `registered_at` stays empty until the e-mail address is confirmed: before that the account is a sign-up that no
    referrer sees and that gives way to a newer one (TERMS: What a new customer gets). `account_type` is what decides
    amounts: an individual until verification as an enterprise has passed; `declared_type` is what the customer chose at
    sign-up. With `payment_method_added_at` a payment method is on file, and it is usable before
    `payment_method_expires_at` (empty: without an end).
    """

    account_id = models.CharField(max_length=100, unique=True, db_collation="C", default=new_account_id)
    email = models.CharField(max_length=254, db_collation="pg_c_utf8")
    account_type = models.CharField(max_length=10, choices=AccountType, default=AccountType.INDIVIDUAL)
    country = models.CharField(max_length=100, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    created_at = models.DateTimeField()
    registered_at = models.DateTimeField(null=True, blank=True)
    signup_attribution = models.JSONField(default=dict, blank=True)
    payment_method_added_at = models.DateTimeField(null=True, blank=True)
    payment_method_expires_at = models.DateTimeField(null=True, blank=True)
    disqualified_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    declared_type = models.CharField(
        max_length=10,
        choices=AccountType,
        default=AccountType.INDIVIDUAL,
        db_default=AccountType.INDIVIDUAL,
    )
    public_first_name = models.CharField(max_length=40, blank=True, default="", db_default="")
    language = models.CharField(max_length=10, blank=True, default="", db_default="")
    wants_friend_mail = models.BooleanField(default=True, db_default=True)
    wants_credit_mail = models.BooleanField(default=True, db_default=True)
    wants_expiry_mail = models.BooleanField(default=True, db_default=True)
    wants_account_mail = models.BooleanField(default=True, db_default=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["created_at"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="email_is_unique_on_lower_case"),
            models.CheckConstraint(name="email_is_in_lower_case", condition=models.Q(email=Lower("email"))),
            models.CheckConstraint(name="email_holds_an_at_sign", condition=models.Q(email__contains="@")),
            models.CheckConstraint(name="account_id_is_not_empty", condition=~models.Q(account_id="")),
            models.CheckConstraint(name="account_type_is_listed", condition=models.Q(account_type__in=AccountType)),
            models.CheckConstraint(name="declared_type_is_listed", condition=models.Q(declared_type__in=AccountType)),
            models.CheckConstraint(
                name="closed_account_is_not_active",
                condition=models.Q(closed_at__isnull=True) | models.Q(is_active=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["created_at"], name="unconfirmed_by_age", condition=models.Q(registered_at__isnull=True)
            ),
            models.Index(
                fields=["id"], name="disqualified_accounts", condition=models.Q(disqualified_at__isnull=False)
            ),
            models.Index(fields=["id"], name="closed_accounts", condition=models.Q(closed_at__isnull=False)),
        ]
        triggers = [
            pgtrigger.ReadOnly(name="account_id_stays", fields=["account_id"]),
            pgtrigger.Protect(
                name="registration_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__registered_at__isnull=False)
                & pgtrigger.Q(old__registered_at__df=pgtrigger.F("new__registered_at")),
            ),
            pgtrigger.Protect(
                name="refuse_delete_of_registered",
                operation=pgtrigger.Delete,
                condition=pgtrigger.Q(old__registered_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.account_id

    @property
    def is_registered(self) -> bool:
        return self.registered_at is not None

    def has_payment_method(self, at: datetime) -> bool:
        expires_at = self.payment_method_expires_at
        return self.payment_method_added_at is not None and (expires_at is None or at < expires_at)


class IdentityVerification(models.Model):
    """What verification found of one account: the person, as a keyed digest, never the document's number.

    `legal_name` to `submitted_at` are of what was submitted last; of the number, `number_tail` keeps the last three
    characters. They are empty where the billing system said that the account was verified, and nothing was submitted
    here. While `submitted_digest` is filled, that is in review, as `submitted_type`: of an individual that has passed
    and submits as an enterprise too, whose `state` stays passed meanwhile.

    Of several accounts with one identity one is eligible to refer (TERMS: Who may refer).
    """

    class State(models.TextChoices):
        IN_REVIEW = "in_review"
        PASSED = "passed"
        REFUSED = "refused"

    customer = models.OneToOneField(User, on_delete=models.PROTECT, related_name="verification")

    class Document(models.TextChoices):
        PASSPORT = "passport", _("Passport")
        IDENTITY_CARD = "identity_card", _("Identity card")
        DRIVING_LICENCE = "driving_licence", _("Driving licence")
        COMPANY_REGISTER = "company_register", _("Entry in a company register")
        TAX_NUMBER = "tax_number", _("Tax number")

    state = models.CharField(max_length=10, choices=State, default=State.IN_REVIEW)
    legal_name = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=2, blank=True)
    document_kind = models.CharField(max_length=20, choices=Document, blank=True)
    number_tail = models.CharField(max_length=3, blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    submitted_digest = models.CharField(max_length=64, blank=True, default="", db_default="", db_collation="C")
    submitted_type = models.CharField(
        max_length=10, choices=AccountType, default=AccountType.INDIVIDUAL, db_default=AccountType.INDIVIDUAL
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    refusal_reason = models.CharField(max_length=500, blank=True)
    identity_digest = models.CharField(max_length=64, blank=True, db_collation="C")
    account_type = models.CharField(max_length=10, choices=AccountType, default=AccountType.INDIVIDUAL)
    passed_at = models.DateTimeField(null=True, blank=True)
    is_eligible = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity_digest"],
                condition=models.Q(is_eligible=True),
                name="one_account_of_a_person_is_eligible",
            ),
            models.CheckConstraint(
                name="verification_state_is_listed", condition=models.Q(state__in=["in_review", "passed", "refused"])
            ),
            models.CheckConstraint(
                name="verified_account_type_is_listed", condition=models.Q(account_type__in=AccountType)
            ),
            models.CheckConstraint(
                name="submitted_account_type_is_listed", condition=models.Q(submitted_type__in=AccountType)
            ),
            models.CheckConstraint(
                name="what_is_in_review_was_submitted",
                condition=~models.Q(state="in_review") | ~models.Q(submitted_digest=""),
            ),
            models.CheckConstraint(
                name="what_was_refused_is_not_in_review",
                condition=~models.Q(state="refused") | models.Q(submitted_digest=""),
            ),
            models.CheckConstraint(
                name="passed_names_its_person", condition=~models.Q(state="passed", identity_digest="")
            ),
            models.CheckConstraint(
                name="passed_has_its_instant",
                condition=models.Q(state="passed", passed_at__isnull=False)
                | (~models.Q(state="passed") & models.Q(passed_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="eligible_has_passed", condition=models.Q(is_eligible=False) | models.Q(state="passed")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id}: {self.state}"

    @property
    def has_passed(self) -> bool:
        return self.state == self.State.PASSED

    @property
    def is_in_review(self) -> bool:
        return self.submitted_digest != ""


class EligibilityMove(models.Model):
    """The one move by which a person made another own account the eligible one (TERMS: Who may refer).

    Later moves are staff's and stand with their decisions.
    """

    identity_digest = models.CharField(max_length=64, unique=True, db_collation="C")
    from_account = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    to_account = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="eligibility_moves_to_another_account",
                condition=~models.Q(from_account=models.F("to_account")),
            ),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.from_account_id} to {self.to_account_id}"


class KnownIdentifier(models.Model):
    """What a customer was known by, as a keyed digest that outlives a change of address, a closing and an erasure.

    Whoever comes back with it is an existing customer (TERMS: When things change).
    """

    class Kind(models.TextChoices):
        EMAIL = "email"
        CARD = "card"
        IDENTITY = "identity"

    kind = models.CharField(max_length=8, choices=Kind)
    digest = models.CharField(max_length=64, db_collation="C")
    customer = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "digest", "customer"],
                nulls_distinct=False,
                name="an_identifier_is_known_once_of_a_customer",
            ),
            models.CheckConstraint(
                name="identifier_kind_is_listed", condition=models.Q(kind__in=["email", "card", "identity"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.customer_id}"


class ApiKey(models.Model):
    """What lets a billing system in: kept as a digest, for some scopes, from some networks, until it expires.

    Without `networks` it is good from everywhere; without `expires_at`, until it is revoked.
    """

    class Scope(models.TextChoices):
        SPEND_WRITE = "spend:write"
        CREDIT_READ = "credit:read"
        CREDIT_REDEEM = "credit:redeem"
        REFERRALS_READ = "referrals:read"
        ACCOUNTS_WRITE = "accounts:write"
        ABUSE_WRITE = "abuse:write"

    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, db_collation="C")
    tail = models.CharField(max_length=4)
    scopes = models.JSONField()
    networks = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                name="api_key_is_kept_as_a_digest", condition=models.Q(digest__regex="^[0-9a-f]{64}$")
            ),
            models.CheckConstraint(name="api_key_has_a_name", condition=~models.Q(name="")),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="what_a_key_may_stays",
                fields=["digest", "scopes", "networks", "created_at", "created_by", "expires_at"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (…{self.tail})"

    def is_good_at(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class OutboxMessageQuerySet(models.QuerySet["OutboxMessage"]):
    def to_send(self, at: datetime) -> OutboxMessageQuerySet:
        return self.filter(sent_at__isnull=True, dropped_at__isnull=True, due_at__lte=at)


class OutboxMessage(models.Model):
    """A mail to send, written in the transaction of what it tells of; `key` lets each be written once.

    `kind` names its templates, `facts` are what they say beside what is read when it is sent. Without `recipient` it
    goes to the customer's address as it then is. `due_at` is when to try next; `sent_at` ends it, and so does
    `dropped_at`: the customer has switched such mails off, or is gone.
    """

    key = models.CharField(max_length=200, unique=True, db_collation="C")
    kind = models.CharField(max_length=40)
    customer = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    recipient = models.CharField(max_length=254, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    dropped_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[OutboxMessageQuerySet] = OutboxMessageQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="message_has_somebody_to_go_to",
                condition=models.Q(customer__isnull=False) | ~models.Q(recipient=""),
            ),
            models.CheckConstraint(
                name="message_is_sent_or_dropped",
                condition=models.Q(sent_at__isnull=True) | models.Q(dropped_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                name="messages_to_send",
                condition=models.Q(sent_at__isnull=True, dropped_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.key


class ImportRun(models.Model):
    """One reading of one file: how far it came, so that an interrupted import goes on where it stopped.

    `lines_done` moves in the transaction that records those lines. A file whose run has finished may be read again:
    that is a new run, and its facts are duplicates.
    """

    class Kind(models.TextChoices):
        ACCOUNTS = "accounts"
        SPEND = "spend"
        REDEMPTIONS = "redemptions"

    kind = models.CharField(max_length=11, choices=Kind)
    file_digest = models.CharField(max_length=64, db_collation="C")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    lines_done = models.PositiveBigIntegerField(default=0)
    accepted = models.PositiveBigIntegerField(default=0)
    waiting = models.PositiveBigIntegerField(default=0)
    duplicate = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "file_digest"],
                condition=models.Q(finished_at__isnull=True),
                name="a_file_has_one_unfinished_run",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} import of {self.started_at:%Y-%m-%d}"


class RefusedFact(models.Model):
    """A row of a file that was refused, as it stood there, with the code and why (TERMS: Facts that are refused).

    `line` is empty for a reversal that waited since an earlier file.
    """

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="refusals")
    line = models.PositiveBigIntegerField(null=True, blank=True)
    code = models.CharField(max_length=20)
    message = models.TextField()
    fact = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["run", "line"], name="refusals_of_a_run_by_line")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.code}"


class ParkedRow(models.Model):
    """Work that failed for one row and is set aside with its error, so that the others go on; staff look at it.

    A fact is judged again when it is sent again; a friend's tracking and a customer's settlement are tried again by
    each run. `cleared_at` says when that went well. `customer` is the friend or the customer, and empty for a fact.
    """

    class Kind(models.TextChoices):
        ACCOUNT = "account"
        SPEND = "spend"
        REDEMPTION = "redemption"
        TRACKING = "tracking"
        SETTLEMENT = "settlement"

    kind = models.CharField(max_length=10, choices=Kind)
    key = models.CharField(max_length=200, db_collation="C")
    customer = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    fact = models.JSONField(null=True, blank=True)
    error = models.TextField()
    tries = models.PositiveIntegerField(default=1)
    parked_at = models.DateTimeField()
    tried_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key"], condition=models.Q(cleared_at__isnull=True), name="a_row_is_parked_once"
            ),
            models.CheckConstraint(
                name="what_is_parked_is_a_fact_or_of_a_customer",
                condition=(
                    models.Q(kind__in=["account", "spend", "redemption"], fact__isnull=False, customer__isnull=True)
                    | models.Q(kind__in=["tracking", "settlement"], fact__isnull=True, customer__isnull=False)
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class ClockOffset(models.Model):
    """How far the demo's clock runs ahead; at most one row, and none outside the demo."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    ahead = models.DurationField(default=timedelta)

    class Meta:
        constraints = [models.CheckConstraint(name="there_is_one_clock", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return str(self.ahead)
