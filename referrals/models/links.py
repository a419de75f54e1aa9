"""Links, how often they were followed, and the cards that the page of sharing shows."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import IdentityVerification, User, usable_payment_method
from billing.models import Product


class ReferralLinkQuerySet(models.QuerySet["ReferralLink"]):
    def working(self, *, at: datetime) -> ReferralLinkQuerySet:
        """Links that bring referrals at an instant: on, and of an owner who may refer (TERMS: Who may refer)."""
        return self.filter(
            usable_payment_method(at, of="owner__"),
            switched_off_at__isnull=True,
            owner__verification__state=IdentityVerification.State.PASSED,
            owner__verification__is_eligible=True,
            owner__disqualified_at__isnull=True,
            owner__is_active=True,
        )


class ReferralLink(models.Model):
    """An account's link: an unguessable code that stays with it, which staff can switch off and on."""

    owner = models.OneToOneField(User, on_delete=models.PROTECT, related_name="referral_link")
    code = models.CharField(max_length=32, unique=True, db_collation="C")
    created_at = models.DateTimeField()
    switched_off_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ReferralLinkQuerySet] = ReferralLinkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        triggers = [pgtrigger.ReadOnly(name="link_stays_with_its_owner", fields=["owner", "code"])]

    def __str__(self) -> str:
        return self.code


class Channel(models.TextChoices):
    """How a link was handed on, as its `?via=` says; the link alone has no mark."""

    LINK = "link", _("Link")
    COPY = "copy", _("Copied link")
    EMAIL = "email", _("E-mail")
    WHATSAPP = "whatsapp", _("WhatsApp")
    X = "x", _("X")
    FACEBOOK = "facebook", _("Facebook")
    LINKEDIN = "linkedin", _("LinkedIn")
    TELEGRAM = "telegram", _("Telegram")
    DEVICE = "device", _("Device")
    QR = "qr", _("QR code")


class VisitCount(models.Model):
    """How many browsers followed a link on a day (of UTC), by channel."""

    link = models.ForeignKey(ReferralLink, on_delete=models.PROTECT, related_name="visit_counts", db_index=False)
    day = models.DateField()
    channel = models.CharField(max_length=10, choices=Channel)
    visits = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["link", "day", "channel"], name="visits_have_one_count_a_link_day_and_channel"
            ),
            models.CheckConstraint(name="visit_channel_is_listed", condition=Q(channel__in=Channel)),
            models.CheckConstraint(name="visits_are_counted_from_one", condition=Q(visits__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.visits}"


class VisitFlush(models.Model):
    """A batch of visits that was added to the counts: its key is what makes it count once."""

    flush_id = models.CharField(max_length=32, unique=True, db_collation="C")
    visits = models.PositiveBigIntegerField()
    flushed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "visit flushes"
        indexes = [models.Index(fields=["flushed_at"], name="flushes_by_age")]

    def __str__(self) -> str:
        return self.flush_id


class BenefitCard(models.Model):
    """A card of *Share these benefits*, in the operator's words; `{trial_individual}` and the like are the terms'.

    With a product, the page adds what the catalogue says of it: whether it earns and accepts credit.
    """

    title = models.CharField(max_length=80)
    text = models.TextField(max_length=400)
    link = models.CharField(max_length=300)
    link_label = models.CharField(max_length=60)
    product = models.ForeignKey(Product, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField(default=0)
    is_visible = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="card_leads_to_a_page_of_the_site_or_of_the_web",
                condition=Q(link__startswith="https://") | (Q(link__startswith="/") & ~Q(link__startswith="//")),
                violation_error_message=_("A link begins with / or with https://."),
            ),
        ]

    def __str__(self) -> str:
        return self.title
