"""Doubts and reports about referrals, and who decided what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.ledger import append_only, kept
from accounts.models import User
from referrals.models.referrals import Referral


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
