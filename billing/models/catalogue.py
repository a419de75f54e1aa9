"""What may be bought, and what a currency is worth."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from djmoney.models.fields import MoneyField

from accounts.ledger import in_dollars


class Unit(models.TextChoices):
    """What a price is for."""

    HOUR = "hour", _("hour")
    MONTH = "month", _("month")
    YEAR = "year", _("year")
    GIGABYTE = "gigabyte", _("GB")
    GIGABYTE_MONTH = "gigabyte-month", _("GB and month")
    THOUSAND_CALLS = "thousand-calls", _("1,000 calls")
    MILLION_CALLS = "million-calls", _("1,000,000 calls")
    PIECE = "piece", _("piece")


class Product(models.Model):
    """Something a customer can buy, and which money counts for it and pays for it (DESIGN: Catalogue).

    `price` is in US dollars a `unit`; what has none cannot be ordered here, and facts about it come in all the same. Of
    a special offer, `regular_price` is what it costs otherwise.
    """

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
    price = MoneyField(max_digits=12, decimal_places=4, currency_field_name="currency", null=True, blank=True)
    unit = models.CharField(max_length=20, choices=Unit, blank=True)
    regular_price = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="product_code_is_not_empty", condition=~Q(code="")),
            in_dollars("product_price_is_in_dollars"),
            models.CheckConstraint(
                name="product_with_a_price_has_its_unit",
                condition=Q(price__isnull=True, unit="") | Q(price__gt=0, unit__in=Unit),
            ),
            models.CheckConstraint(
                name="special_offer_costs_less_than_regular",
                condition=Q(regular_price__isnull=True) | Q(price__isnull=False, regular_price__gt=F("price")),
            ),
            models.CheckConstraint(
                name="special_offer_takes_no_credit",
                condition=~Q(family="Special offers")
                | Q(earns_credit=False, accepts_credit=False, accepts_trial=False),
            ),
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
