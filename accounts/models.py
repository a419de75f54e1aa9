"""Customers, what identifies them, and the files that bring them in."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, ClassVar

import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower


class AccountType(models.TextChoices):
    INDIVIDUAL = "individual"
    ENTERPRISE = "enterprise"


def new_account_id() -> str:
    """Return an account id for a customer who signs up here; one that is imported brings its own."""
    return f"acct-{secrets.token_hex(8)}"


class UserQuerySet(models.QuerySet["User"]):
    def registered(self) -> UserQuerySet:
        return self.filter(registered_at__isnull=False)

    def unconfirmed(self) -> UserQuerySet:
        return self.filter(registered_at__isnull=True, is_staff=False)


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
    referrer sees and that gives way to a newer one (TERMS: What a new customer gets).
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
    disqualified_at = models.DateTimeField(null=True, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

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
        ]
        indexes = [
            models.Index(
                fields=["created_at"], name="unconfirmed_by_age", condition=models.Q(registered_at__isnull=True)
            ),
            models.Index(
                fields=["id"], name="disqualified_accounts", condition=models.Q(disqualified_at__isnull=False)
            ),
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


class IdentityVerification(models.Model):
    """What verification found of one account: the person, as a keyed digest, never the document's number.

    Of several accounts with one identity one is eligible to refer (TERMS: Who may refer).
    """

    class State(models.TextChoices):
        IN_REVIEW = "in_review"
        PASSED = "passed"
        REFUSED = "refused"

    customer = models.OneToOneField(User, on_delete=models.PROTECT, related_name="verification")
    state = models.CharField(max_length=10, choices=State, default=State.IN_REVIEW)
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
