"""Who referred whom, for good, and where that stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Case, DateTimeField, DecimalField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Coalesce, Least
from djmoney.models.fields import MoneyField

from accounts.ledger import in_dollars, kept, recorded_in
from accounts.models import User
from referrals.models.terms import ProgrammeTerms


class ReferralQuerySet(models.QuerySet["Referral"]):
    def payout_due_by(self, at: datetime) -> ReferralQuerySet:
        return self.filter(PAYOUT_OWED, payout_due_at__lte=at)

    def bonus_due_by(self, at: datetime) -> ReferralQuerySet:
        return self.filter(BONUS_OWED, bonus_due_at__lte=at)

    def overpaid(self) -> ReferralQuerySet:
        return self.filter(OVERPAID)


def _money(**options: object) -> MoneyField:
    return MoneyField(max_digits=20, decimal_places=2, currency_field_name="currency", default=0, **options)


PAYOUT_OWED = Q(payout_granted__lt=F("payout_earned"), held=False)
BONUS_OWED = Q(bonus_granted__lt=F("bonus_earned"), held=False)
OVERPAID = Q(payout_granted__gt=F("payout_earned") + F("payout_let_go")) | Q(
    bonus_granted__gt=F("bonus_earned") + F("bonus_let_go")
)
"""Where granted less let go is above what is earned (TERMS: Settlement, 2)."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
NEXT_DUE = Coalesce(
    Least(Case(When(PAYOUT_OWED, then=F("payout_due_at"))), Case(When(BONUS_OWED, then=F("bonus_due_at")))),
    Value(NEVER, output_field=DateTimeField()),
    output_field=DateTimeField(),
)
"""When the first reward that is earned and not granted falls due; NEVER where none is."""

EARNED = ExpressionWrapper(
    F("payout_earned") + F("bonus_earned"), output_field=DecimalField(max_digits=20, decimal_places=2)
)
"""What a referral earns in all."""


def _noted(name: str, operation: pgtrigger.core.Operation) -> pgtrigger.Trigger:
    """Return the trigger that notes which referrals a statement has written, once a transaction."""
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=pgtrigger.Referencing(new="written"),  # type: ignore[no-untyped-call]
        func="INSERT INTO referrals_referralchange (referral_id) SELECT id FROM written ORDER BY id"
        " ON CONFLICT DO NOTHING; RETURN NULL;",
    )


class Referral(models.Model):
    """One friend and who referred them, for good.

    `terms` are frozen at registration. The sums, `qualified_at`, the due instants and `*_earned` are recomputed from
    all spend by tracking (since `tracked_at`; empty: not yet); a refused referral earns nothing. `*_granted` and
    `*_let_go` are TERMS' granted and let go, moved by settlement alone. Money is in US dollars.
    """

    friend = models.OneToOneField(User, on_delete=models.PROTECT, related_name="referral")
    referrer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="referrals", db_index=False)
    # Nothing looks for the referrals of a version: an index would be written by every grant, and read by nobody.
    terms = models.ForeignKey(ProgrammeTerms, on_delete=models.PROTECT, related_name="+", db_index=False)
    registered_at = models.DateTimeField()
    created_at = models.DateTimeField()
    tracked_at = models.DateTimeField(null=True, blank=True)

    qualifying_spend = _money()
    window_spend = _money()
    qualified_at = models.DateTimeField(null=True, blank=True)
    payout_due_at = models.DateTimeField(null=True, blank=True)
    bonus_due_at = models.DateTimeField()
    payout_earned = _money()
    bonus_earned = _money()

    payout_granted = _money()
    payout_let_go = _money()
    bonus_granted = _money()
    bonus_let_go = _money()

    held = models.BooleanField(default=False)
    refused_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ReferralQuerySet] = ReferralQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            in_dollars("referral_is_in_dollars"),
            models.CheckConstraint(name="nobody_refers_themselves", condition=~Q(friend=F("referrer"))),
            models.CheckConstraint(
                name="referral_spend_in_the_window_is_part_of_all",
                condition=Q(window_spend__gte=0, window_spend__lte=F("qualifying_spend")),
            ),
            models.CheckConstraint(
                name="referral_payout_is_due_once_qualified",
                condition=Q(qualified_at__isnull=True, payout_due_at__isnull=True, payout_earned=0, bonus_earned=0)
                | Q(qualified_at__isnull=False, payout_due_at__isnull=False, payout_due_at__gte=F("qualified_at")),
            ),
            models.CheckConstraint(
                name="referral_let_go_is_within_granted",
                condition=Q(
                    payout_let_go__gte=0,
                    bonus_let_go__gte=0,
                    payout_granted__gte=F("payout_let_go"),
                    bonus_granted__gte=F("bonus_let_go"),
                ),
            ),
            models.CheckConstraint(
                name="refused_referral_earns_nothing",
                condition=Q(refused_at__isnull=True) | Q(payout_earned=0, bonus_earned=0),
            ),
            models.CheckConstraint(
                name="referral_earns_nothing_negative", condition=Q(payout_earned__gte=0, bonus_earned__gte=0)
            ),
        ]
        indexes = [
            models.Index(fields=["payout_due_at"], name="payouts_to_grant", condition=PAYOUT_OWED),
            models.Index(fields=["bonus_due_at"], name="bonuses_to_grant", condition=BONUS_OWED),
            models.Index(fields=["referrer"], name="rewards_to_claw_back", condition=OVERPAID),
            models.Index(fields=["referrer"], name="rewards_to_settle", condition=OVERPAID | PAYOUT_OWED | BONUS_OWED),
            models.Index(fields=["referrer", "registered_at", "id"], name="friends_in_order"),
            models.Index(F("referrer"), NEXT_DUE, F("id"), name="friends_by_next_date"),
            models.Index(F("referrer"), EARNED, F("id"), name="friends_by_what_they_earn"),
            models.Index(fields=["id"], name="referrals_not_yet_tracked", condition=Q(tracked_at__isnull=True)),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="referral_is_for_good",
                fields=["friend", "referrer", "terms", "registered_at", "created_at", "bonus_due_at", "currency"],
            ),
            _noted("referral_is_new", pgtrigger.Insert),
            _noted("referral_has_changed", pgtrigger.Update),
        ]

    def __str__(self) -> str:
        return f"referral {self.pk}"


class ReferralChange(models.Model):
    """That a transaction has written a referral: noted by the referral's own triggers, and read by what asks what is
    new (`accounts/changes.py`).

    A column of the referral would have to stand in an index, and then no update could be written to no index
    (docs/scaling.md). Of the notes on a referral the last one is enough, and the others may go.
    """

    # A referral never goes, and nobody but its triggers writes here: a key would lock, and so write, its row once more.
    referral = models.ForeignKey(
        Referral, on_delete=models.PROTECT, related_name="changes", db_index=False, db_constraint=False
    )
    recorded_in = recorded_in()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recorded_in", "referral"], name="a_referral_is_noted_once_a_transaction"),
        ]

    def __str__(self) -> str:
        return f"change {self.pk}"
