"""Every fact about money that came in or went back."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Round
from djmoney.models.fields import MoneyField

from accounts.ledger import append_only, in_dollars, kept
from accounts.models import ImportRun, User
from billing.models.catalogue import Product


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
