"""What may be bought, what is paid with, and every fact about money that came in or went back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Round
from djmoney.models.fields import MoneyField

from accounts.ledger import append_only, in_dollars, kept
from accounts.models import ImportRun, User


class Product(models.Model):
    """Something a customer can buy, and which money counts for it and pays for it (DESIGN: Catalogue)."""

    class Family(models.TextChoices):
        ECS = "Elastic Compute Service"
        STORAGE_CDN = "Storage & CDN"
        NETWORKING = "Networking"
        DATABASES = "Database Services"
        SECURITY = "Security"
        ANALYTICS = "Analytics & Big Data"
        AI = "AI & Machine Learning"
        CONTAINERS = "Containers & Middleware"
        MANAGEMENT = "Management & Monitoring"
        MEDIA = "Media & Communication"
        SIMPLE_APPLICATION_SERVICE = "Simple Application Service"
        WEB_HOSTING = "Web Hosting"
        DOMAINS = "Domains"
        DNS = "DNS"
        MARKETPLACE = "Marketplace"
        SPECIAL_OFFER = "Special offers"

    code = models.CharField(max_length=100, unique=True, db_collation="C")
    name = models.CharField(max_length=200)
    family = models.CharField(max_length=40, choices=Family)
    earns_credit = models.BooleanField()
    accepts_credit = models.BooleanField()
    accepts_trial = models.BooleanField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="product_code_is_not_empty", condition=~Q(code="")),
        ]
        triggers = [pgtrigger.ReadOnly(name="product_code_stays", fields=["code"])]

    def __str__(self) -> str:
        return self.name


class ExchangeRate(models.Model):
    """What one unit of a currency was worth in US dollars on a banking day, by the ECB's reference rates."""

    currency = models.CharField(max_length=3, db_collation="C")
    day = models.DateField()
    rate = models.DecimalField(max_digits=24, decimal_places=16)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["currency", "day"], name="a_currency_has_one_rate_a_day"),
            models.CheckConstraint(name="exchange_rate_is_above_zero", condition=Q(rate__gt=0)),
            models.CheckConstraint(name="dollars_need_no_exchange_rate", condition=~Q(currency="USD")),
        ]

    def __str__(self) -> str:
        return f"{self.currency} of {self.day}"


class SpendType(models.TextChoices):
    PAYMENT = "payment"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"


class SpendBatch(models.Model):
    """Spend that came in together. `applied_at` empty: its friends' referrals are still to be recomputed."""

    source = models.CharField(max_length=20, db_collation="C")
    received_at = models.DateTimeField()
    run = models.ForeignKey(ImportRun, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    accepted = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "spend batches"
        indexes = [models.Index(fields=["id"], name="batches_not_yet_applied", condition=Q(applied_at__isnull=True))]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(name="origin_of_a_batch_stays", fields=["source", "received_at", "run"]),
            pgtrigger.Protect(
                name="batch_is_applied_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__applied_at__isnull=False)
                & pgtrigger.Q(old__applied_at__df=pgtrigger.F("new__applied_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk}"


class SpendEvent(models.Model):
    """One fact about spend: a payment, or a reversal that names its payment.

    `original_amount` is in `original_currency`; `amount` is in US dollars at `rate`, which is that of the banking day
    `rate_day` (empty for dollars); a reversal has its payment's. `qualifies` was decided when the
    payment was recorded and stays so; a reversal has its payment's (TERMS: What counts as spend).
    """

    batch = models.ForeignKey(SpendBatch, on_delete=models.PROTECT, related_name="events")
    source = models.CharField(max_length=20, db_collation="C")
    event_id = models.CharField(max_length=100, db_collation="C")
    customer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="spend_events", db_index=False)
    type = models.CharField(max_length=19, choices=SpendType)
    product = models.ForeignKey(Product, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    payment = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="reversals", db_index=False
    )
    original_currency = models.CharField(max_length=3)
    original_amount = models.DecimalField(max_digits=12, decimal_places=2)
    rate = models.DecimalField(max_digits=24, decimal_places=16, default=1)
    rate_day = models.DateField(null=True, blank=True)
    amount = MoneyField(max_digits=14, decimal_places=2, currency_field_name="currency")
    qualifies = models.BooleanField()
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "event_id"], name="an_event_counts_once"),
            in_dollars("event_is_in_dollars"),
            models.CheckConstraint(name="event_type_is_listed", condition=Q(type__in=SpendType)),
            models.CheckConstraint(name="event_id_is_not_empty", condition=~Q(event_id="")),
            models.CheckConstraint(
                name="event_amount_is_above_zero", condition=Q(original_amount__gt=0, rate__gt=0, amount__gte=0)
            ),
            models.CheckConstraint(
                name="event_in_dollars_has_no_rate", condition=~Q(original_currency="USD") | Q(rate=1)
            ),
            models.CheckConstraint(
                name="event_in_another_currency_has_the_day_of_its_rate",
                condition=Q(original_currency="USD", rate_day__isnull=True)
                | (~Q(original_currency="USD") & Q(rate_day__isnull=False)),
            ),
            models.CheckConstraint(
                name="event_is_worth_its_rate",
                condition=Q(amount=Round(F("original_amount") * F("rate"), precision=2)),
            ),
            models.CheckConstraint(
                name="event_names_its_product_or_its_payment",
                condition=Q(type="payment", product__isnull=False, payment__isnull=True)
                | (~Q(type="payment") & Q(product__isnull=True, payment__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(
                fields=["customer", "occurred_at", "event_id"],
                name="qualifying_payments_in_order",
                condition=Q(type="payment", qualifies=True),
            ),
            models.Index(fields=["customer", "occurred_at"], name="events_of_a_customer"),
            models.Index(fields=["payment"], name="reversals_of_a_payment", condition=Q(payment__isnull=False)),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return self.event_id


class WaitingReversal(models.Model):
    """A reversal whose payment, or the chargeback that it reverses, is not known yet.

    It stands in one key space with SpendEvent, tries again when a fact of its payment arrives, in order of `id`, and
    goes when it is applied or refused. `line` is where it stood in the file of `run`.
    """

    batch = models.ForeignKey(SpendBatch, on_delete=models.PROTECT, related_name="waiting_reversals")
    run = models.ForeignKey(ImportRun, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    line = models.PositiveBigIntegerField(null=True, blank=True)
    source = models.CharField(max_length=20, db_collation="C")
    event_id = models.CharField(max_length=100, db_collation="C")
    payment_event_id = models.CharField(max_length=100, db_collation="C")
    customer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    type = models.CharField(max_length=19, choices=SpendType)
    original_currency = models.CharField(max_length=3)
    original_amount = models.DecimalField(max_digits=12, decimal_places=2)
    occurred_at = models.DateTimeField()
    fact = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "event_id"], name="a_waiting_event_counts_once"),
            models.CheckConstraint(
                name="only_reversals_wait",
                condition=Q(type__in=["refund", "chargeback", "chargeback_reversal"]),
            ),
            models.CheckConstraint(name="waiting_amount_is_above_zero", condition=Q(original_amount__gt=0)),
            models.CheckConstraint(
                name="waiting_ids_are_not_empty", condition=~Q(event_id="") & ~Q(payment_event_id="")
            ),
        ]
        indexes = [models.Index(fields=["source", "payment_event_id", "id"], name="waiting_for_a_payment")]
        triggers = [pgtrigger.Protect(name="refuse_change_of_what_waits", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return self.event_id


def end_of_month(year: int, month: int) -> datetime:
    """Return the first instant after a month: a card that expires in it is usable until then."""
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


class PaymentMethodQuerySet(models.QuerySet["PaymentMethod"]):
    def on_file(self) -> PaymentMethodQuerySet:
        return self.filter(removed_at__isnull=True)


class PaymentMethod(models.Model):
    """A way to pay that a customer has put on file; of a card what its gateway tells, never its number.

    `token` names it at its gateway. `fingerprint` is the gateway's own: the same whoever enters the card. A card is
    usable before `expires_at`, the first instant after its month of expiry. What staff have arranged with a customer
    (`gateway` staff) has no end. Removed, it stays as a fact.
    """

    class Gateway(models.TextChoices):
        SANDBOX = "sandbox"
        STRIPE = "stripe"
        STAFF = "staff"

    customer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="payment_methods")
    gateway = models.CharField(max_length=8, choices=Gateway)
    token = models.CharField(max_length=200, db_collation="C")
    brand = models.CharField(max_length=20, blank=True)
    last_four = models.CharField(max_length=4, blank=True)
    expiry_month = models.PositiveSmallIntegerField(null=True, blank=True)
    expiry_year = models.PositiveSmallIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    fingerprint = models.CharField(max_length=100, blank=True, db_collation="C")
    is_default = models.BooleanField(default=False)
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[PaymentMethodQuerySet] = PaymentMethodQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "token"], name="a_payment_method_is_on_file_once"),
            models.UniqueConstraint(
                fields=["customer"], condition=Q(is_default=True), name="a_customer_has_one_default_payment_method"
            ),
            models.CheckConstraint(
                name="payment_gateway_is_listed", condition=Q(gateway__in=["sandbox", "stripe", "staff"])
            ),
            models.CheckConstraint(
                name="payment_token_is_no_card_number",
                condition=~Q(token__regex=r"^[0-9 -]*$"),  # noqa: S106 - no password
            ),
            models.CheckConstraint(
                name="last_four_are_four_digits", condition=Q(last_four="") | Q(last_four__regex=r"^[0-9]{4}$")
            ),
            models.CheckConstraint(
                name="removed_payment_method_is_no_default", condition=Q(removed_at__isnull=True) | Q(is_default=False)
            ),
            models.CheckConstraint(
                name="card_has_its_expiry",
                condition=Q(
                    gateway="staff", expiry_month__isnull=True, expiry_year__isnull=True, expires_at__isnull=True
                )
                | (
                    ~Q(gateway="staff")
                    & Q(expiry_month__isnull=False, expiry_year__isnull=False, expires_at__isnull=False)
                    & Q(expiry_month__gte=1, expiry_month__lte=12, expiry_year__gte=2000, expiry_year__lte=2999)
                ),
            ),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="payment_method_stays_its_customers", fields=["customer", "gateway", "token", "added_at"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.brand} {self.last_four}".rstrip()

    def is_usable(self, at: datetime) -> bool:
        return self.removed_at is None and (self.expires_at is None or at < self.expires_at)


class GatewayCustomer(models.Model):
    """The name that one of our customers has at a gateway; `closed_at`: the gateway knows them no more."""

    customer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    gateway = models.CharField(max_length=8, choices=PaymentMethod.Gateway)
    token = models.CharField(max_length=200, db_collation="C")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "token"], name="a_gateways_customer_is_one_of_ours"),
            models.UniqueConstraint(
                fields=["customer", "gateway"],
                condition=Q(closed_at__isnull=True),
                name="a_gateway_knows_a_customer_by_one_name",
            ),
            models.CheckConstraint(
                name="gateway_of_a_customer_is_listed", condition=Q(gateway__in=["sandbox", "stripe"])
            ),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(name="gateway_customer_stays_ours", fields=["customer", "gateway", "token"]),
        ]

    def __str__(self) -> str:
        return self.token


class GatewayEvent(models.Model):
    """Something that a gateway told by a webhook: the unique key lets it take effect once, however often it comes."""

    gateway = models.CharField(max_length=8, choices=PaymentMethod.Gateway)
    event_id = models.CharField(max_length=200, db_collation="C")
    type = models.CharField(max_length=100)
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "event_id"], name="a_gateways_event_takes_effect_once"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return self.event_id
