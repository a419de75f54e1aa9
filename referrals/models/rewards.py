"""What a referral has earned: every grant and every taking back."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from djmoney.models.fields import MoneyField

from accounts.ledger import append_only, in_dollars, recorded_in
from credits.models import Coupon, RewardKind
from referrals.models.referrals import Referral


class Reward(models.Model):
    """One grant: what of a referral's payout or bonus was given at `granted_at`, and how.

    `debts_settled` of it made good open debts; the rest is `coupon`'s. `earned`, `qualifying_spend` and `window_spend`
    are what it was computed from. The unique key is what makes a grant happen once (DESIGN: Exactly once).
    """

    referral = models.ForeignKey(Referral, on_delete=models.PROTECT, related_name="rewards", db_index=False)
    kind = models.CharField(max_length=6, choices=RewardKind)
    n = models.PositiveSmallIntegerField()
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    debts_settled = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency", default=0)
    coupon = models.OneToOneField(Coupon, null=True, blank=True, on_delete=models.PROTECT, related_name="reward")
    earned = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    qualifying_spend = MoneyField(max_digits=20, decimal_places=2, currency_field_name="currency")
    window_spend = MoneyField(max_digits=20, decimal_places=2, currency_field_name="currency")
    granted_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    recorded_in = recorded_in()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["referral", "kind", "n"], name="a_reward_is_granted_once"),
            models.CheckConstraint(name="reward_kind_is_listed", condition=Q(kind__in=RewardKind)),
            models.CheckConstraint(name="reward_is_numbered_from_one", condition=Q(n__gte=1)),
            models.CheckConstraint(name="reward_is_above_zero", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="reward_is_within_what_is_earned", condition=Q(amount__lte=F("earned"))),
            models.CheckConstraint(
                name="reward_settles_debts_within_its_amount",
                condition=Q(debts_settled__gte=0, debts_settled__lte=F("amount")),
            ),
            models.CheckConstraint(
                name="reward_has_a_coupon_for_the_rest",
                condition=Q(coupon__isnull=True, debts_settled=F("amount"))
                | Q(coupon__isnull=False, debts_settled__lt=F("amount")),
            ),
            in_dollars("reward_is_in_dollars"),
        ]
        indexes = [models.Index(fields=["recorded_in", "id"], name="rewards_as_they_came")]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.kind} {self.n}"


class Clawback(models.Model):
    """One taking back: what of a reward was revoked, let go and made a debt (TERMS: Settlement, 2)."""

    referral = models.ForeignKey(Referral, on_delete=models.PROTECT, related_name="clawbacks", db_index=False)
    kind = models.CharField(max_length=6, choices=RewardKind)
    n = models.PositiveSmallIntegerField()
    revoked = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    let_go = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    debt = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    earned = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    qualifying_spend = MoneyField(max_digits=20, decimal_places=2, currency_field_name="currency")
    window_spend = MoneyField(max_digits=20, decimal_places=2, currency_field_name="currency")
    refused = models.BooleanField()
    clawed_back_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["referral", "kind", "n"], name="a_clawback_happens_once"),
            models.CheckConstraint(name="clawback_kind_is_listed", condition=Q(kind__in=RewardKind)),
            models.CheckConstraint(name="clawback_is_numbered_from_one", condition=Q(n__gte=1)),
            models.CheckConstraint(
                name="clawback_parts_are_not_negative",
                condition=Q(revoked__gte=0, let_go__gte=0, debt__gte=0) & ~Q(revoked=0, let_go=0, debt=0),
            ),
            in_dollars("clawback_is_in_dollars"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.kind} {self.n}"
