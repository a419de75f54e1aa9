"""The programme's numbers, version by version."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q

from accounts.ledger import no_truncate
from accounts.models import AccountType


class ProgrammeTermsQuerySet(models.QuerySet["ProgrammeTerms"]):
    def in_force(self, at: datetime) -> ProgrammeTerms:
        """The version with the latest start not after `at`; the first one starts in 1970 (TERMS: Programme terms)."""
        return self.filter(starts_at__lte=at).latest("starts_at")


class ProgrammeTerms(models.Model):
    """One version of the programme's numbers, in dollars and days of 24 hours, in force from `starts_at` to the next.

    A version that has started never changes (TERMS: Programme terms).
    """

    starts_at = models.DateTimeField(unique=True)
    payout = models.DecimalField(max_digits=10, decimal_places=2, default=20)
    qualifying_threshold = models.DecimalField(max_digits=10, decimal_places=2, default=20)
    payout_delay_days = models.PositiveSmallIntegerField(default=30)
    bonus_rate = models.DecimalField(max_digits=6, decimal_places=5, default="0.10")
    bonus_window_days = models.PositiveSmallIntegerField(default=90)
    bonus_delay_days = models.PositiveSmallIntegerField(default=30)
    cap_per_friend = models.DecimalField(max_digits=10, decimal_places=2, default=300)
    credit_valid_days = models.PositiveSmallIntegerField(default=180)
    trial_valid_days = models.PositiveSmallIntegerField(default=365)
    welcome_individual = models.DecimalField(max_digits=10, decimal_places=2, default=5)
    welcome_enterprise = models.DecimalField(max_digits=10, decimal_places=2, default=10)
    trial_individual = models.DecimalField(max_digits=10, decimal_places=2, default=300)
    trial_enterprise = models.DecimalField(max_digits=10, decimal_places=2, default=1200)
    attribution_days = models.PositiveSmallIntegerField(default=30)
    unconfirmed_days = models.PositiveSmallIntegerField(default=7)

    objects: ClassVar[ProgrammeTermsQuerySet] = ProgrammeTermsQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "programme terms"
        constraints = [
            models.CheckConstraint(
                name="terms_amounts_are_not_negative",
                condition=Q(
                    payout__gte=0,
                    bonus_rate__gte=0,
                    welcome_individual__gte=0,
                    welcome_enterprise__gte=F("welcome_individual"),
                    trial_individual__gte=0,
                    trial_enterprise__gte=F("trial_individual"),
                ),
                violation_error_message="No amount is below 0, and an enterprise gets no less than an individual.",
            ),
            models.CheckConstraint(
                name="terms_threshold_is_above_zero",
                condition=Q(qualifying_threshold__gt=0),
                violation_error_message="The qualifying threshold is above 0.",
            ),
            models.CheckConstraint(
                name="terms_cap_covers_the_payout",
                condition=Q(cap_per_friend__gte=F("payout")),
                violation_error_message="The cap per friend is no less than the payout.",
            ),
            models.CheckConstraint(
                name="terms_bonus_is_at_most_the_spend",
                condition=Q(bonus_rate__lte=1),
                violation_error_message="The bonus rate is at most 1: all that was spent.",
            ),
            models.CheckConstraint(
                name="terms_credit_lasts_a_day_at_least",
                condition=Q(credit_valid_days__gt=0, trial_valid_days__gt=0),
                violation_error_message="Credit and trial are valid for at least a day.",
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="started_terms_stay",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.starts_at <= now()"),
            ),
            no_truncate(),
        ]

    def __str__(self) -> str:
        return f"terms of {self.starts_at:%Y-%m-%d}"

    def welcome_credit(self, account_type: str) -> object:
        return self.welcome_enterprise if account_type == AccountType.ENTERPRISE else self.welcome_individual

    def trial_worth(self, account_type: str) -> object:
        return self.trial_enterprise if account_type == AccountType.ENTERPRISE else self.trial_individual
