"""The admin's pages of the programme: looked at, with staff's decisions as actions that ask for their reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from accounts import clock
from accounts.admin import SureForm, UserAdmin
from accounts.desk import ModelAdmin, ModelForm, ReadOnlyAdmin, ReadOnlyInline, ask_first
from accounts.models import User
from accounts.operations import UnableToAddPaymentMethod, UnableToMoveEligibility
from billing.operations import arrange_payment, clear_payment_methods
from referrals.models import (
    AbuseEvidence,
    AbuseReport,
    BenefitCard,
    Clawback,
    Decision,
    DecisionReason,
    FraudFlag,
    ProgrammeTerms,
    Referral,
    ReferralChange,
    ReferralLink,
    Reward,
    VisitCount,
    VisitFlush,
)
from referrals.operations import (
    UnableToDecide,
    UnableToSetCard,
    add_card,
    change_card,
    disqualify,
    hand_eligibility,
    lift_refusal,
    open_flag,
    refuse,
    reinstate,
    release_flag,
    require_known_placeholders,
    switch_link_off,
    switch_link_on,
)
from referrals.operations.terms import UnableToSetTerms, add_terms, change_terms, require_notice

PAIR = (
    "friend__account_id__exact",
    "friend__email__istartswith",
    "referrer__account_id__exact",
    "referrer__email__istartswith",
)
PAIR_OF_REFERRAL = tuple(f"referral__{path}" for path in PAIR)


class ReasonForm(forms.Form):
    """Every decision has a reason, which stays with it."""

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}))


class HoldForm(ReasonForm):
    """The flag that holds."""

    rule = forms.CharField(max_length=40, initial="staff", help_text="What raised the doubt, in a word or two.")
    severity = forms.ChoiceField(choices=FraudFlag.Severity.choices)


class DisqualifyForm(ReasonForm):
    """Which of the account's referrals are refused with it."""

    UNPAID, NONE, THESE = "unpaid", "none", "these"

    refuse = forms.ChoiceField(
        choices=[
            (UNPAID, "Refuse the referrals not yet paid in full"),
            (THESE, "Refuse those of the friends named below"),
            (NONE, "Refuse none"),
        ],
        initial=UNPAID,
    )
    friends = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Account ids, one a line."
    )

    def clean(self) -> dict[str, Any]:
        answer = super().clean() or {}
        if answer.get("refuse") == self.THESE:
            wanted = set(answer.get("friends", "").split())
            found = Referral.objects.filter(friend__account_id__in=wanted).values_list("pk", flat=True)
            if not wanted or len(found) != len(wanted):
                raise ValidationError({"friends": "One of these is no friend that anybody referred."})
            answer["referrals"] = list(found)
        elif answer.get("refuse") == self.NONE:
            answer["referrals"] = []
        return answer


class Deciding(ReadOnlyAdmin):
    """Pages with decisions."""

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("referrals.add_decision")

    def decide(
        self,
        request: HttpRequest,
        chosen: QuerySet[Any],
        title: str,
        carry_out: Any,
        form_class: type[forms.Form] = ReasonForm,
    ) -> TemplateResponse | None:
        """Ask for the reason, then let the operation decide on each row; `carry_out` takes the row and keywords."""
        return ask_first(
            self,
            request,
            chosen,
            title=title,
            form_class=form_class,
            carry_out=lambda row, answer: carry_out(row, answer, actor=request.user, now=clock.now()),
            refusals=(UnableToDecide, UnableToMoveEligibility),
        )


class CustomerAdmin(UserAdmin, Deciding):
    """Accounts, with what staff decide about them."""

    actions = (
        "put_payment_method_on_file",
        "take_payment_method_off_file",
        *UserAdmin.actions,
        "make_eligible",
        "disqualify",
        "reinstate",
    )

    @admin.action(description="Put a payment method on file", permissions=["vouch"])
    def put_payment_method_on_file(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Put a payment method on file",
            form_class=SureForm,
            carry_out=lambda user, _: arrange_payment(customer_id=user.pk, now=clock.now()),
            refusals=(UnableToAddPaymentMethod,),
        )

    @admin.action(description="Take every payment method off file", permissions=["vouch"])
    def take_payment_method_off_file(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Take every payment method off file",
            form_class=SureForm,
            carry_out=lambda user, _: clear_payment_methods(customer_id=user.pk, now=clock.now()),
            refusals=(),
        )

    @admin.action(description="Make this the account of its person that refers friends", permissions=["decide"])
    def make_eligible(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        def carry_out(user: User, answer: dict[str, Any], **by: Any) -> None:
            hand_eligibility(user_id=user.pk, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Make this the account of its person that refers friends", carry_out)

    @admin.action(description="Disqualify", permissions=["decide"])
    def disqualify(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        def carry_out(user: User, answer: dict[str, Any], **by: Any) -> None:
            disqualify(user_id=user.pk, reason=answer["reason"], refuse_referrals=answer.get("referrals"), **by)

        return self.decide(request, chosen, "Disqualify", carry_out, DisqualifyForm)

    @admin.action(description="Reinstate", permissions=["decide"])
    def reinstate(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        def carry_out(user: User, answer: dict[str, Any], **by: Any) -> None:
            reinstate(user_id=user.pk, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Reinstate", carry_out)


admin.site.unregister(User)
admin.site.register(User, CustomerAdmin)


class RewardInline(ReadOnlyInline):
    model = Reward
    fields = ("kind", "n", "amount", "debts_settled", "earned", "qualifying_spend", "window_spend", "granted_at")
    ordering = ("pk",)


class ClawbackInline(ReadOnlyInline):
    model = Clawback
    fields = ("kind", "n", "revoked", "let_go", "debt", "earned", "qualifying_spend", "window_spend", "clawed_back_at")
    ordering = ("pk",)


class FraudFlagInline(ReadOnlyInline):
    model = FraudFlag
    fields = ("rule", "severity", "evidence", "opened_at", "closed_at", "outcome")
    ordering = ("pk",)


class DecisionInline(ReadOnlyInline):
    model = Decision
    fields = ("action", "actor", "decided_at", "reason_given")
    readonly_fields = ("reason_given",)
    ordering = ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        return super().get_queryset(request).select_related("actor", "reason")

    @admin.display(description="reason")
    def reason_given(self, decision: Decision) -> str:
        return decision.reason.text


@admin.register(Referral)
class ReferralAdmin(Deciding):
    """Referrals, with what staff decide about them."""

    list_display = (
        "id",
        "friend",
        "referrer",
        "registered_at",
        "qualifying_spend",
        "qualified_at",
        "payout_granted",
        "bonus_granted",
        "held",
        "refused_at",
    )
    list_filter = ("held", ("refused_at", admin.EmptyFieldListFilter), ("qualified_at", admin.EmptyFieldListFilter))
    list_select_related = ("friend", "referrer")
    search_fields = ("id__exact", *PAIR, "referrer__referral_link__code__iexact")
    ordering = ("-pk",)
    inlines = [RewardInline, ClawbackInline, FraudFlagInline, DecisionInline]
    actions = ("hold", "refuse", "lift_refusal")

    @admin.action(description="Flag or hold", permissions=["decide"])
    def hold(self, request: HttpRequest, chosen: QuerySet[Referral]) -> TemplateResponse | None:
        def carry_out(referral: Referral, answer: dict[str, Any], **by: Any) -> None:
            open_flag(referral_id=referral.pk, evidence={}, **answer, **by)

        return self.decide(request, chosen, "Flag or hold", carry_out, HoldForm)

    @admin.action(description="Refuse", permissions=["decide"])
    def refuse(self, request: HttpRequest, chosen: QuerySet[Referral]) -> TemplateResponse | None:
        def carry_out(referral: Referral, answer: dict[str, Any], **by: Any) -> None:
            refuse(referral_id=referral.pk, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Refuse", carry_out)

    @admin.action(description="Lift the refusal", permissions=["decide"])
    def lift_refusal(self, request: HttpRequest, chosen: QuerySet[Referral]) -> TemplateResponse | None:
        def carry_out(referral: Referral, answer: dict[str, Any], **by: Any) -> None:
            lift_refusal(referral_id=referral.pk, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Lift the refusal", carry_out)


@admin.register(FraudFlag)
class FraudFlagAdmin(Deciding):
    """Doubts, and their release."""

    list_display = ("rule", "severity", "referral", "friend", "opened_at", "closed_at", "outcome")
    list_filter = ("severity", ("closed_at", admin.EmptyFieldListFilter), "outcome", "rule")
    list_select_related = ("referral__friend",)
    search_fields = ("rule__exact", "referral__id__exact", *PAIR_OF_REFERRAL)
    ordering = ("-pk",)
    actions = ("release",)

    @admin.display
    def friend(self, flag: FraudFlag) -> str:
        return flag.referral.friend.account_id

    @admin.action(description="Release", permissions=["decide"])
    def release(self, request: HttpRequest, chosen: QuerySet[FraudFlag]) -> TemplateResponse | None:
        def carry_out(flag: FraudFlag, answer: dict[str, Any], **by: Any) -> None:
            release_flag(flag_id=flag.pk, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Release", carry_out)


@admin.register(ReferralLink)
class ReferralLinkAdmin(Deciding):
    """Links, which staff switch off and on."""

    list_display = ("code", "owner", "created_at", "switched_off_at")
    list_filter = (("switched_off_at", admin.EmptyFieldListFilter),)
    list_select_related = ("owner",)
    search_fields = ("code__iexact", "owner__account_id__exact", "owner__email__istartswith")
    ordering = ("-pk",)
    actions = ("switch_off", "switch_on")

    @admin.action(description="Switch off", permissions=["decide"])
    def switch_off(self, request: HttpRequest, chosen: QuerySet[ReferralLink]) -> TemplateResponse | None:
        def carry_out(link: ReferralLink, answer: dict[str, Any], **by: Any) -> None:
            switch_link_off(user_id=link.owner_id, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Switch off", carry_out)

    @admin.action(description="Switch on", permissions=["decide"])
    def switch_on(self, request: HttpRequest, chosen: QuerySet[ReferralLink]) -> TemplateResponse | None:
        def carry_out(link: ReferralLink, answer: dict[str, Any], **by: Any) -> None:
            switch_link_on(user_id=link.owner_id, reason=answer["reason"], **by)

        return self.decide(request, chosen, "Switch on", carry_out)


@admin.register(ReferralChange)
class ReferralChangeAdmin(ReadOnlyAdmin):
    """Which transactions have written a referral: what the API's lists of changes go by."""

    list_display = ("id", "referral", "friend", "recorded_in")
    list_select_related = ("referral__friend",)
    search_fields = PAIR_OF_REFERRAL
    ordering = ("-pk",)

    @admin.display
    def friend(self, change: ReferralChange) -> str:
        return change.referral.friend.account_id


@admin.register(Reward)
class RewardAdmin(ReadOnlyAdmin):
    """Grants."""

    list_display = ("id", "referral", "friend", "kind", "n", "amount", "debts_settled", "coupon", "granted_at")
    list_filter = ("kind",)
    list_select_related = ("referral__friend", "coupon")
    search_fields = PAIR_OF_REFERRAL
    ordering = ("-pk",)

    @admin.display
    def friend(self, reward: Reward) -> str:
        return reward.referral.friend.account_id


@admin.register(Clawback)
class ClawbackAdmin(ReadOnlyAdmin):
    """What was taken back."""

    list_display = ("id", "referral", "friend", "kind", "n", "revoked", "let_go", "debt", "refused", "clawed_back_at")
    list_filter = ("kind", "refused")
    list_select_related = ("referral__friend",)
    search_fields = PAIR_OF_REFERRAL
    ordering = ("-pk",)

    @admin.display
    def friend(self, clawback: Clawback) -> str:
        return clawback.referral.friend.account_id


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """Who decided what, and why."""

    list_display = ("id", "action", "referral", "friend", "customer", "actor", "decided_at", "reason_given")
    list_filter = ("action",)
    list_select_related = ("referral__friend", "customer", "actor", "reason")
    search_fields = (
        "referral__id__exact",
        *PAIR_OF_REFERRAL,
        "customer__account_id__exact",
        "customer__email__istartswith",
        "actor__email__istartswith",
    )
    ordering = ("-pk",)

    @admin.display
    def friend(self, decision: Decision) -> str:
        return decision.referral.friend.account_id if decision.referral else ""

    @admin.display(description="reason")
    def reason_given(self, decision: Decision) -> str:
        return decision.reason.text


@admin.register(DecisionReason)
class DecisionReasonAdmin(ReadOnlyAdmin):
    """The words behind decisions."""

    list_display = ("decision", "text")
    list_select_related = ("decision",)
    search_fields = ("text__icontains",)
    ordering = ("-pk",)


@admin.register(AbuseReport)
class AbuseReportAdmin(ReadOnlyAdmin):
    """What accounts were reported for from outside; the hold is decided on as a flag."""

    list_display = ("report_id", "kind", "customer", "flag", "received_at")
    list_filter = ("kind",)
    list_select_related = ("customer", "flag")
    search_fields = ("report_id__exact", "customer__account_id__exact", "customer__email__istartswith")
    ordering = ("-pk",)


@admin.register(AbuseEvidence)
class AbuseEvidenceAdmin(ReadOnlyAdmin):
    """What speaks for reports of abuse."""

    list_display = ("report", "customer")
    list_select_related = ("report__customer",)
    search_fields = ("report__report_id__exact", "report__customer__account_id__exact")
    ordering = ("-pk",)

    @admin.display
    def customer(self, evidence: AbuseEvidence) -> str:
        return evidence.report.customer.account_id


class TermsForm(ModelForm):
    """A version that has not started."""

    class Meta:
        model = ProgrammeTerms
        fields = "__all__"  # a version has no field that is not its staff's to set

    def clean_starts_at(self) -> Any:
        starts_at = self.cleaned_data["starts_at"]
        try:
            require_notice(starts_at=starts_at, now=clock.now())
        except UnableToSetTerms as refusal:
            raise ValidationError(str(refusal)) from refusal
        return starts_at


@admin.register(ProgrammeTerms)
class ProgrammeTermsAdmin(ModelAdmin):
    """Versions of the terms: those that have started are looked at, later ones are set."""

    form = TermsForm
    list_display = (
        "starts_at",
        "payout",
        "qualifying_threshold",
        "payout_delay_days",
        "bonus_rate",
        "bonus_window_days",
        "cap_per_friend",
        "credit_valid_days",
    )
    ordering = ("-starts_at",)
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: ProgrammeTerms | None = None) -> bool:
        is_open = obj is None or obj.starts_at > clock.now()
        return is_open and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ProgrammeTerms | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ProgrammeTerms, form: Any, change: bool) -> None:
        if change:
            change_terms(terms=obj, now=clock.now())
        else:
            add_terms(terms=obj, now=clock.now())


@admin.register(VisitCount)
class VisitCountAdmin(ReadOnlyAdmin):
    """How often links were followed."""

    list_display = ("link", "day", "channel", "visits")
    list_filter = ("channel",)
    list_select_related = ("link",)
    search_fields = ("link__code__iexact", "link__owner__account_id__exact")
    ordering = ("-pk",)


@admin.register(VisitFlush)
class VisitFlushAdmin(ReadOnlyAdmin):
    """The batches in which visits were counted; old ones go."""

    list_display = ("flush_id", "visits", "flushed_at")
    search_fields = ("flush_id__exact",)
    ordering = ("-pk",)


class CardForm(ModelForm):
    """A card in the operator's words."""

    class Meta:
        model = BenefitCard
        fields = "__all__"  # a card has no field that is not its staff's to set
        help_texts = {
            "title": "A number of the terms may stand in the words by its name: {trial_individual} reads $300 here "
            "as long as that is what the terms in force say; and {price} is what the product costs.",
            "product": "The page then says whether it earns and accepts credit, as the catalogue has it.",
        }

    def clean(self) -> dict[str, Any]:
        answer = super().clean() or {}
        for name in ("title", "text", "link_label"):
            try:
                require_known_placeholders(text=answer.get(name, ""), product=answer.get("product"))
            except UnableToSetCard as refusal:
                self.add_error(name, str(refusal))
        return answer


@admin.register(BenefitCard)
class BenefitCardAdmin(ModelAdmin):
    """The cards of *Share these benefits*: one that is not wanted is not shown."""

    form = CardForm
    list_display = ("title", "position", "is_visible", "product", "link")
    list_filter = ("is_visible",)
    list_select_related = ("product",)
    search_fields = ("title__icontains",)
    ordering = ("position", "pk")
    show_full_result_count = False

    def has_delete_permission(self, request: HttpRequest, obj: BenefitCard | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: BenefitCard, form: Any, change: bool) -> None:
        if change:
            change_card(card=obj)
        else:
            add_card(card=obj)
