"""What is paid with, and what gateways tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q

from accounts.ledger import append_only, kept
from accounts.models import User


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
    (`gateway` staff) has no end; what the billing system has told of (`billing`) has the end that it told, if any, and
    is never the default. Removed, it stays as a fact.
    """

    class Gateway(models.TextChoices):
        SANDBOX = "sandbox"
        STRIPE = "stripe"
        STAFF = "staff"
        BILLING = "billing"

    OUTSIDE = (Gateway.STAFF, Gateway.BILLING)
    """What no gateway of ours keeps: nothing is charged there, and the customer does not take it off here."""

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
                name="payment_gateway_is_listed", condition=Q(gateway__in=["sandbox", "stripe", "staff", "billing"])
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
                | Q(gateway="billing", expiry_month__isnull=True, expiry_year__isnull=True)
                | (
                    ~Q(gateway__in=["staff", "billing"])
                    & Q(expiry_month__isnull=False, expiry_year__isnull=False, expires_at__isnull=False)
                    & Q(expiry_month__gte=1, expiry_month__lte=12, expiry_year__gte=2000, expiry_year__lte=2999)
                ),
            ),
            models.UniqueConstraint(
                fields=["customer"],
                condition=Q(gateway="billing", removed_at__isnull=True),
                name="a_billing_system_tells_of_one_payment_method",
            ),
            models.CheckConstraint(
                name="what_a_billing_system_tells_of_is_no_default",
                condition=~Q(gateway="billing") | Q(is_default=False),
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

    @property
    def is_outside(self) -> bool:
        return self.gateway in self.OUTSIDE

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
