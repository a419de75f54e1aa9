"""A customer's credit: coupons, every movement on them, what was redeemed, and what is owed back."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Concat
from djmoney.models.fields import MoneyField

from accounts.ledger import append_only, in_dollars, kept, recorded_in
from accounts.models import User


class CreditAccount(models.Model):
    """The lock over one customer's coupons and debts, and whether their credit is frozen (DESIGN: one lock)."""

    customer = models.OneToOneField(User, on_delete=models.PROTECT, primary_key=True, related_name="credit_account")
    frozen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        triggers = kept()

    def __str__(self) -> str:
        return f"credit of {self.customer_id}"


class RewardKind(models.TextChoices):
    PAYOUT = "payout"
    BONUS = "bonus"


class CouponKind(models.TextChoices):
    WELCOME = "welcome"
    PAYOUT = "payout"
    BONUS = "bonus"
    GOODWILL = "goodwill"
    TRIAL = "trial"


class CouponQuerySet(models.QuerySet["Coupon"]):
    def credit(self) -> CouponQuerySet:
        """All but the trial are credit (TERMS: Credit)."""
        return self.exclude(kind=CouponKind.TRIAL)

    def usable_at(self, at: datetime) -> CouponQuerySet:
        return self.filter(issued_at__lte=at, expires_at__gt=at, remaining__gt=0)

    def in_order_of_use(self) -> CouponQuerySet:
        """Soonest-expiring first, then in the order issued (TERMS: Credit)."""
        return self.order_by("expires_at", "issued_at", "pk")


def _of_its_customer(separator: str) -> Concat:
    """The source of what a registration brings: its unique key allows one `trial:7` and one `trial-upgrade:7`."""
    return Concat("kind", Value(separator), Cast("customer", models.TextField()), output_field=models.TextField())


class Coupon(models.Model):
    """An amount of credit, or a trial, in US dollars, usable at `issued_at` <= t < `expires_at`.

    `friend` is whose referral earned it, for payouts and bonuses; with `kind` it names the reward. `withdrawn_at` says
    that what an order gives back to this coupon is revoked at once.
    """

    # Indexes and constraints below begin with these columns.
    customer = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="coupons", db_index=False)
    kind = models.CharField(max_length=8, choices=CouponKind)
    # That it is a friend is held by referrals (`coupon_friend_is_referred`), which the grant has locked anyway.
    friend = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    source = models.CharField(max_length=100, unique=True, db_collation="C")
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    remaining = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    redeemed = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency", default=0)
    expired = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency", default=0)
    revoked = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency", default=0)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[CouponQuerySet] = CouponQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            in_dollars("coupon_is_in_dollars"),
            models.CheckConstraint(name="coupon_kind_is_listed", condition=Q(kind__in=CouponKind)),
            models.CheckConstraint(name="coupon_source_is_not_empty", condition=~Q(source="")),
            models.CheckConstraint(
                name="coupon_of_a_registration_comes_once_and_once_more",
                condition=~Q(kind__in=[CouponKind.TRIAL, CouponKind.WELCOME])
                | Q(source=_of_its_customer(":"))
                | Q(source=_of_its_customer("-upgrade:")),
            ),
            models.CheckConstraint(name="coupon_amount_is_above_zero", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="coupon_remaining_is_within_its_amount",
                condition=Q(remaining__gte=0, remaining__lte=F("amount")),
            ),
            models.CheckConstraint(
                name="coupon_parts_are_not_negative", condition=Q(redeemed__gte=0, expired__gte=0, revoked__gte=0)
            ),
            models.CheckConstraint(
                name="coupon_parts_add_up",
                condition=Q(amount=F("remaining") + F("redeemed") + F("expired") + F("revoked")),
            ),
            models.CheckConstraint(name="coupon_expires_after_issue", condition=Q(expires_at__gt=F("issued_at"))),
            models.CheckConstraint(
                name="coupon_of_a_reward_names_its_friend",
                condition=Q(kind__in=RewardKind, friend__isnull=False)
                | (~Q(kind__in=RewardKind) & Q(friend__isnull=True)),
            ),
            models.CheckConstraint(name="coupon_rewards_somebody_else", condition=~Q(friend=F("customer"))),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="coupons_left_by_expiry", condition=Q(remaining__gt=0)),
            models.Index(fields=["customer", "expires_at"], name="coupons_of_a_customer"),
            models.Index(fields=["friend", "kind"], name="coupons_of_a_reward", condition=Q(friend__isnull=False)),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="terms_of_a_coupon_stay",
                fields=["customer", "kind", "friend", "source", "amount", "currency", "issued_at", "expires_at"],
            ),
        ]

    def __str__(self) -> str:
        return f"coupon {self.pk}"

    def is_usable_at(self, at: datetime) -> bool:
        return bool(self.remaining) and self.issued_at <= at < self.expires_at


class Redemption(models.Model):
    """Credit that bought something: which system says so, under which id, and how much, in US dollars.

    One that came with its lines may be of nothing, where no credit was left: so the same question has the same answer.
    """

    source = models.CharField(max_length=20, db_collation="C")
    redemption_id = models.CharField(max_length=100, db_collation="C")
    customer = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="redemptions")
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "redemption_id"], name="a_redemption_counts_once"),
            models.CheckConstraint(name="redemption_is_not_negative", condition=Q(amount__gte=0)),
            models.CheckConstraint(name="redemption_id_is_not_empty", condition=~Q(redemption_id="")),
            in_dollars("redemption_is_in_dollars"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return self.redemption_id


class RedemptionLine(models.Model):
    """A line of a purchase that another system wanted paid: what it cost, and what credit paid of it, in US dollars.

    `product` is its code, and `accepts_credit` what the catalogue said of it then.
    """

    redemption = models.ForeignKey(Redemption, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.PositiveSmallIntegerField()
    product = models.CharField(max_length=100, db_collation="C")
    accepts_credit = models.BooleanField()
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    paid = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["redemption", "position"], name="lines_of_a_redemption_stand_in_order"),
            models.CheckConstraint(name="redemption_lines_count_from_one", condition=Q(position__gte=1)),
            models.CheckConstraint(name="redemption_line_names_its_product", condition=~Q(product="")),
            models.CheckConstraint(name="redemption_line_is_above_zero", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="credit_pays_at_most_the_line", condition=Q(paid__gte=0, paid__lte=F("amount"))
            ),
            models.CheckConstraint(
                name="credit_pays_only_what_accepts_it", condition=Q(accepts_credit=True) | Q(paid=0)
            ),
            in_dollars("redemption_line_is_in_dollars"),
        ]
        ordering = ("position",)
        triggers = append_only()

    def __str__(self) -> str:
        return f"line {self.position}"


class RedemptionReturn(models.Model):
    """What a refunded order gave back of a redemption, under an id of its own."""

    redemption = models.ForeignKey(Redemption, on_delete=models.PROTECT, related_name="returns")
    return_id = models.CharField(max_length=100, db_collation="C")
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["redemption", "return_id"], name="a_return_counts_once"),
            models.CheckConstraint(name="return_is_above_zero", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="return_id_is_not_empty", condition=~Q(return_id="")),
            in_dollars("return_is_in_dollars"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return self.return_id


class CouponEntry(models.Model):
    """One movement on one coupon: signed amount, what was left after it, why, and when it took effect.

    `occurred_at` is the business instant, `recorded_at` the instant of writing; entries of a coupon stand in order of
    their ids.
    """

    class Type(models.TextChoices):
        ISSUE = "ISSUE"
        REDEEM = "REDEEM"
        RETURN = "RETURN"
        EXPIRE = "EXPIRE"
        REVOKE = "REVOKE"

    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="entries")
    type = models.CharField(max_length=6, choices=Type)
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    balance_after = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    redemption = models.ForeignKey(
        Redemption, null=True, blank=True, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    reference = models.CharField(max_length=200, blank=True, db_collation="C")
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    recorded_in = recorded_in()

    class Meta:
        verbose_name_plural = "coupon entries"
        constraints = [
            in_dollars("entry_is_in_dollars"),
            models.CheckConstraint(
                name="entry_has_the_sign_of_its_type",
                condition=Q(type__in=["ISSUE", "RETURN"], amount__gt=0)
                | Q(type__in=["REDEEM", "EXPIRE", "REVOKE"], amount__lt=0),
            ),
            models.CheckConstraint(name="entry_leaves_no_negative_balance", condition=Q(balance_after__gte=0)),
            models.CheckConstraint(
                name="entry_issues_the_whole_amount",
                condition=~Q(type="ISSUE") | Q(balance_after=F("amount")),
            ),
            models.CheckConstraint(name="entry_empties_what_expires", condition=~Q(type="EXPIRE") | Q(balance_after=0)),
            models.CheckConstraint(
                name="entry_of_a_redemption_names_it",
                condition=Q(type__in=["REDEEM", "RETURN"], redemption__isnull=False)
                | (~Q(type__in=["REDEEM", "RETURN"]) & Q(redemption__isnull=True)),
            ),
            models.UniqueConstraint(fields=["coupon"], condition=Q(type="ISSUE"), name="a_coupon_is_issued_once"),
            models.UniqueConstraint(
                fields=["redemption", "coupon"],
                condition=Q(type="REDEEM"),
                name="a_redemption_uses_a_coupon_once",
            ),
        ]
        indexes = [
            models.Index(fields=["redemption"], name="entries_of_a_redemption", condition=Q(redemption__isnull=False)),
            models.Index(fields=["recorded_in", "id"], name="entries_as_they_came"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.type} {self.amount}"


class Debt(models.Model):
    """What a customer had been granted for a reward, had spent, and did not earn after all (TERMS: Settlement, 2).

    Nothing is charged: the next grants settle it, oldest first.
    """

    customer = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="debts")
    friend = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=6, choices=RewardKind)
    source = models.CharField(max_length=100, unique=True, db_collation="C")
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    outstanding = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    opened_at = models.DateTimeField()

    class Meta:
        constraints = [
            in_dollars("debt_is_in_dollars"),
            models.CheckConstraint(name="debt_kind_is_listed", condition=Q(kind__in=RewardKind)),
            models.CheckConstraint(name="debt_source_is_not_empty", condition=~Q(source="")),
            models.CheckConstraint(name="debt_is_for_somebody_else", condition=~Q(friend=F("customer"))),
            models.CheckConstraint(name="debt_is_above_zero", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="debt_outstanding_is_within_its_amount",
                condition=Q(outstanding__gte=0, outstanding__lte=F("amount")),
            ),
        ]
        indexes = [
            models.Index(
                fields=["customer", "opened_at"], name="open_debts_oldest_first", condition=Q(outstanding__gt=0)
            ),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="origin_of_a_debt_stays",
                fields=["customer", "friend", "kind", "source", "amount", "currency", "opened_at"],
            ),
        ]

    def __str__(self) -> str:
        return f"debt {self.pk}"


class DebtEntry(models.Model):
    """One movement on one debt: opened, settled by a grant, made good by credit that an order gave back, or written off
    when its account closes."""

    class Type(models.TextChoices):
        OPEN = "OPEN"
        SETTLE = "SETTLE"
        RETURN = "RETURN"
        WRITE_OFF = "WRITE_OFF"

    debt = models.ForeignKey(Debt, on_delete=models.PROTECT, related_name="entries")
    type = models.CharField(max_length=9, choices=Type)
    amount = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    balance_after = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")
    reference = models.CharField(max_length=200, blank=True, db_collation="C")
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "debt entries"
        constraints = [
            in_dollars("debt_entry_is_in_dollars"),
            models.CheckConstraint(
                name="debt_entry_has_the_sign_of_its_type",
                condition=Q(type="OPEN", amount__gt=0) | Q(type__in=["SETTLE", "RETURN", "WRITE_OFF"], amount__lt=0),
            ),
            models.CheckConstraint(name="debt_entry_leaves_no_negative_balance", condition=Q(balance_after__gte=0)),
            models.UniqueConstraint(fields=["debt"], condition=Q(type="OPEN"), name="a_debt_is_opened_once"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.type} {self.amount}"
