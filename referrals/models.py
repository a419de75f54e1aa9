"""The programme: its terms, who referred whom, what that has earned, and who decided what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Case, DateTimeField, DecimalField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Coalesce, Least
from django.utils.translation import gettext_lazy as _
from djmoney.models.fields import MoneyField

from accounts.ledger import append_only, in_dollars, kept, no_truncate, recorded_in
from accounts.models import AccountType, IdentityVerification, User, usable_payment_method
from billing.models import Product
from credits.models import Coupon, RewardKind


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


class FraudFlag(models.Model):
    """A doubt about a referral. An open one of severity hold stops its grants (TERMS: a hold)."""

    class Severity(models.TextChoices):
        HOLD = "hold"
        NOTE = "note"

    class Outcome(models.TextChoices):
        RELEASED = "released"
        REFUSED = "refused"

    referral = models.ForeignKey(Referral, on_delete=models.PROTECT, related_name="flags")
    rule = models.CharField(max_length=40)
    severity = models.CharField(max_length=4, choices=Severity)
    evidence = models.JSONField(default=dict, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "referral"],
                condition=Q(closed_at__isnull=True),
                name="a_rule_has_one_open_flag_on_a_referral",
            ),
            models.CheckConstraint(name="flag_names_its_rule", condition=~Q(rule="")),
            models.CheckConstraint(name="flag_severity_is_listed", condition=Q(severity__in=["hold", "note"])),
            models.CheckConstraint(name="flag_outcome_is_listed", condition=Q(outcome__in=["", "released", "refused"])),
            models.CheckConstraint(
                name="closed_flag_has_its_outcome",
                condition=Q(closed_at__isnull=True, outcome="") | (Q(closed_at__isnull=False) & ~Q(outcome="")),
            ),
        ]
        indexes = [
            models.Index(fields=["referral"], name="open_holds", condition=Q(closed_at__isnull=True, severity="hold")),
        ]
        triggers = kept()

    def __str__(self) -> str:
        return self.rule


class AbuseReport(models.Model):
    """Something that an account was reported for from outside, under the reporter's own id.

    `flag` is the hold that it opened, or that was open for such a report, on the account's own referral; empty where
    nobody has referred the account. `content_digest` tells the same report sent again from another with its id.
    """

    class Kind(models.TextChoices):
        CARD_THEFT = "card_theft"
        FRAUD = "fraud"
        MINING = "mining"
        ILLEGAL_ACTIVITY = "illegal_activity"
        OTHER = "other"

    report_id = models.CharField(max_length=100, unique=True, db_collation="C")
    customer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="abuse_reports")
    kind = models.CharField(max_length=16, choices=Kind)
    flag = models.ForeignKey(
        FraudFlag, null=True, blank=True, on_delete=models.PROTECT, related_name="reports", db_index=False
    )
    content_digest = models.CharField(max_length=64, db_collation="C")
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="abuse_kind_is_listed",
                condition=Q(kind__in=["card_theft", "fraud", "mining", "illegal_activity", "other"]),
            ),
            models.CheckConstraint(name="abuse_report_has_its_id", condition=~Q(report_id="")),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return self.report_id


class AbuseEvidence(models.Model):
    """What a report of abuse says, which retention and erasure may empty."""

    report = models.OneToOneField(AbuseReport, on_delete=models.PROTECT, primary_key=True, related_name="evidence")
    content = models.JSONField()

    class Meta:
        verbose_name_plural = "abuse evidence"

    def __str__(self) -> str:
        return str(self.report_id)


ACTIONS_ON_REFERRALS = ["hold", "note", "release", "refuse", "lift_refusal"]
ACTIONS_ON_CUSTOMERS = ["disqualify", "reinstate", "switch_link_off", "switch_link_on", "move_eligibility"]


class Decision(models.Model):
    """Who decided what, and when: a row for every move of a referral or an account. The reason stands beside it."""

    class Action(models.TextChoices):
        HOLD = "hold"
        NOTE = "note"
        RELEASE = "release"
        REFUSE = "refuse"
        LIFT_REFUSAL = "lift_refusal"
        DISQUALIFY = "disqualify"
        REINSTATE = "reinstate"
        SWITCH_LINK_OFF = "switch_link_off"
        SWITCH_LINK_ON = "switch_link_on"
        MOVE_ELIGIBILITY = "move_eligibility"

    action = models.CharField(max_length=16, choices=Action)
    referral = models.ForeignKey(Referral, null=True, blank=True, on_delete=models.PROTECT, related_name="decisions")
    customer = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    flag = models.ForeignKey(FraudFlag, null=True, blank=True, on_delete=models.PROTECT, related_name="decisions")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="decision_is_about_a_referral_or_a_customer",
                condition=Q(referral__isnull=False, customer__isnull=True)
                | Q(referral__isnull=True, customer__isnull=False),
            ),
            models.CheckConstraint(
                name="decision_action_is_of_a_referral_or_of_a_customer",
                condition=Q(action__in=ACTIONS_ON_REFERRALS, referral__isnull=False)
                | Q(action__in=ACTIONS_ON_CUSTOMERS, customer__isnull=False),
            ),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return self.action


class DecisionReason(models.Model):
    """The words behind a decision, which retention and erasure may empty."""

    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, primary_key=True, related_name="reason")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


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
