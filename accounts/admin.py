"""The admin's pages of accounts: looked at, with the facts that staff may set as actions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from accounts import clock
from accounts.desk import ReadOnlyAdmin, ReadOnlyInline, ask_first
from accounts.models import (
    AccountType,
    ApiKey,
    ClockOffset,
    EligibilityMove,
    IdentityVerification,
    ImportRun,
    KnownIdentifier,
    OutboxMessage,
    ParkedRow,
    RefusedFact,
    User,
)
from accounts.operations import (
    Identity,
    UnableToCreateKey,
    UnableToVerify,
    create_api_key,
    decide_verification,
    pass_verification,
    refuse_verification,
    remove_second_factors,
    revoke_api_key,
)

# What rows of the files name by an id (DESIGN: Doors).
IDS_OF_FACTS = ("event_id", "account_id", "payment_id", "redemption_id", "referred_by", "email")


class IdentityForm(forms.Form):
    """Whom the documents name. The number goes into a keyed digest and is not kept."""

    country = forms.CharField(max_length=100)
    document_kind = forms.CharField(max_length=100, help_text="Passport, identity card, company register, …")
    number = forms.CharField(max_length=100, widget=forms.PasswordInput)
    account_type = forms.ChoiceField(choices=AccountType.choices)


# What these apps register by themselves would write past the operations. Imported here, so that they have registered.
for app in ("allauth.account", "allauth.mfa", "django.contrib.auth"):
    import_module(f"{app}.admin")
for model in (EmailAddress, Authenticator, Group):
    admin.site.unregister(model)


class SureForm(forms.Form):
    """Nothing to fill in: the page itself is the question."""


class InReviewFilter(admin.SimpleListFilter):
    """What waits for a decision, and what does not."""

    title = "in review"
    parameter_name = "in_review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Yes and no."""
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those."""
        match self.value():
            case "yes":
                return queryset.exclude(submitted_digest="")
            case "no":
                return queryset.filter(submitted_digest="")
        return queryset


class VerificationInline(ReadOnlyInline):
    model = IdentityVerification
    fk_name = "customer"
    fields = ("state", "account_type", "legal_name", "number_tail", "submitted_at", "passed_at", "is_eligible")


class UserAdmin(ReadOnlyAdmin):
    """Customers and staff."""

    list_display = (
        "account_id",
        "email",
        "account_type",
        "country",
        "registered_at",
        "payment_method_added_at",
        "disqualified_at",
        "is_staff",
    )
    list_filter = (
        "account_type",
        "is_staff",
        "is_active",
        ("registered_at", admin.EmptyFieldListFilter),
        ("payment_method_added_at", admin.EmptyFieldListFilter),
        ("disqualified_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("account_id__exact", "email__istartswith", "referral_link__code__iexact")
    ordering = ("-pk",)
    fields = (
        "account_id",
        "email",
        "account_type",
        "country",
        "time_zone",
        "created_at",
        "registered_at",
        "signup_attribution",
        "payment_method_added_at",
        "payment_method_expires_at",
        "disqualified_at",
        "closed_at",
        "is_active",
        "is_staff",
        "is_superuser",
        "last_login",
    )
    inlines: ClassVar[list[type[Any]]] = [VerificationInline]
    actions: Sequence[str] = ("record_passed", "record_not_passed")

    def has_vouch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_user")

    @admin.action(description="Record that verification has passed", permissions=["vouch"])
    def record_passed(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        if len(chosen[:2]) > 1:
            messages.error(request, "A document names one account: choose one.")
            return None
        return ask_first(
            self,
            request,
            chosen,
            title="Record that verification has passed",
            form_class=IdentityForm,
            carry_out=lambda user, answer: pass_verification(
                user_id=user.pk,
                identity=Identity(answer["country"], answer["document_kind"], answer["number"]),
                account_type=answer["account_type"],
                now=clock.now(),
            ),
            refusals=(UnableToVerify,),
        )

    @admin.action(description="Record that verification has not passed", permissions=["vouch"])
    def record_not_passed(self, request: HttpRequest, chosen: QuerySet[User]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Record that verification has not passed",
            form_class=SureForm,
            carry_out=lambda user, _: refuse_verification(user_id=user.pk),
            refusals=(UnableToVerify,),
        )


class RefusalForm(forms.Form):
    """Why a document is not accepted."""

    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The customer reads this, on the page and in the mail: say what to do better.",
    )


@admin.register(IdentityVerification)
class IdentityVerificationAdmin(ReadOnlyAdmin):
    """What verification found, and what waits for a decision: staff decide on what was submitted, and type nothing."""

    list_display = (
        "customer",
        "state",
        "in_review",
        "submitted_type",
        "legal_name",
        "country",
        "document_kind",
        "number_tail",
        "submitted_at",
        "account_type",
        "passed_at",
        "is_eligible",
    )
    list_filter = ("state", InReviewFilter, "account_type", "is_eligible")
    list_select_related = ("customer",)
    search_fields = ("customer__account_id__exact", "customer__email__istartswith", "identity_digest__exact")
    ordering = ("-pk",)
    actions = ("let_pass", "refuse")

    def has_vouch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_user")

    @admin.display(boolean=True, description="in review")
    def in_review(self, verification: IdentityVerification) -> bool:
        return verification.is_in_review

    @admin.action(description="Let what was submitted pass", permissions=["vouch"])
    def let_pass(self, request: HttpRequest, chosen: QuerySet[IdentityVerification]) -> TemplateResponse | None:
        return self.decide(request, chosen, "Let what was submitted pass", SureForm, passes=True)

    @admin.action(description="Refuse what was submitted", permissions=["vouch"])
    def refuse(self, request: HttpRequest, chosen: QuerySet[IdentityVerification]) -> TemplateResponse | None:
        return self.decide(request, chosen, "Refuse what was submitted", RefusalForm, passes=False)

    def decide(
        self,
        request: HttpRequest,
        chosen: QuerySet[IdentityVerification],
        title: str,
        form_class: type[forms.Form],
        *,
        passes: bool,
    ) -> TemplateResponse | None:
        """Ask first, then decide on each."""
        actor = request.user if isinstance(request.user, User) else None
        return ask_first(
            self,
            request,
            chosen.select_related("customer"),
            title=title,
            form_class=form_class,
            carry_out=lambda submitted, answer: decide_verification(
                verification_id=submitted.pk,
                passes=passes,
                reason=answer.get("reason", ""),
                actor=actor,
                now=clock.now(),
            ),
            refusals=(UnableToVerify,),
        )


@admin.register(EligibilityMove)
class EligibilityMoveAdmin(ReadOnlyAdmin):
    """The moves of eligibility that persons made themselves: one each."""

    list_display = ("from_account", "to_account", "moved_at")
    list_select_related = ("from_account", "to_account")
    search_fields = ("from_account__account_id__exact", "to_account__account_id__exact", "identity_digest__exact")
    ordering = ("-pk",)


@admin.register(KnownIdentifier)
class KnownIdentifierAdmin(ReadOnlyAdmin):
    """Digests of addresses, cards and identities that customers were known by."""

    list_display = ("kind", "customer", "recorded_at")
    list_filter = ("kind",)
    list_select_related = ("customer",)
    search_fields = ("customer__account_id__exact", "digest__exact")
    ordering = ("-pk",)


FIELDS_AT_FAULT = {"name": "name", "scope": "scopes", "network": "networks", "expiry": "expires_at"}


class ApiKeyForm(forms.Form):
    """What a key may do, from where and until when."""

    name = forms.CharField(max_length=100, help_text="Whose key it is.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in ApiKey.Scope.values], widget=forms.CheckboxSelectMultiple
    )
    networks = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Address ranges that it is good from, one a line, such as 203.0.113.0/24. Empty: from everywhere.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local"}),
        help_text="Empty: it is good until it is revoked.",
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys of billing systems: made here or by `manage.py create_api_key`, and shown that once."""

    list_display = ("name", "tail", "scopes", "networks", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name__icontains", "tail__exact")
    fields = (
        "name",
        "tail",
        "scopes",
        "networks",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    ordering = ("-pk",)
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("accounts.add_apikey")

    @method_decorator([never_cache, sensitive_post_parameters(), csrf_protect])
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what the key may do, make it, and show it on the answer: nobody sees it again."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ApiKeyForm(request.POST if request.method == "POST" else None)
        made, secret = self.make(request, form) if form.is_valid() else (None, "")
        context = {
            **self.admin_site.each_context(request),
            "title": "Your new API key" if made else "Add API key",
            "form": form,
            "made": made,
            "secret": secret,
            "media": self.media + form.media,
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/api_key.html", context)

    def make(self, request: HttpRequest, form: ApiKeyForm) -> tuple[ApiKey | None, str]:
        """Make the key, or say in the form why not."""
        answer = form.cleaned_data
        try:
            return create_api_key(
                name=answer["name"],
                scopes=answer["scopes"],
                networks=answer["networks"].split(),
                expires_at=answer["expires_at"],
                actor=request.user if isinstance(request.user, User) else None,
                now=clock.now(),
            )
        except UnableToCreateKey as refusal:
            form.add_error(FIELDS_AT_FAULT[refusal.code], str(refusal))
            return None, ""

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description="Revoke at once", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Revoke at once",
            form_class=SureForm,
            carry_out=lambda key, _: revoke_api_key(key_id=key.pk, now=clock.now()),
            refusals=(),
        )


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """Mails: what is to be sent, what was sent, and what keeps a mail back. Not what they say: that opens accounts."""

    exclude = ("facts",)
    list_display = ("key", "kind", "customer", "created_at", "attempts", "sent_at", "dropped_at", "error")
    list_filter = ("kind", ("sent_at", admin.EmptyFieldListFilter), ("dropped_at", admin.EmptyFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("key__exact", "customer__account_id__exact", "recipient__istartswith")
    ordering = ("-pk",)


@admin.register(ImportRun)
class ImportRunAdmin(ReadOnlyAdmin):
    """Readings of files."""

    list_display = (
        "kind",
        "started_at",
        "finished_at",
        "lines_done",
        "accepted",
        "waiting",
        "duplicate",
        "refused",
    )
    list_filter = ("kind", ("finished_at", admin.EmptyFieldListFilter))
    search_fields = ("file_digest__exact",)
    ordering = ("-pk",)


@admin.register(RefusedFact)
class RefusedFactAdmin(ReadOnlyAdmin):
    """Rows of files that were refused, each with its code."""

    list_display = ("run", "line", "code", "message")
    list_filter = ("run__kind",)
    list_select_related = ("run",)
    search_fields = ("run__file_digest__exact", "code__exact")
    ordering = ("-pk",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RefusedFact], search_term: str
    ) -> tuple[QuerySet[RefusedFact], bool]:
        """Find a row by an id in it too: the admin's own search takes a word of JSON with its quotes."""
        found, has_duplicates = super().get_search_results(request, queryset, search_term)
        if search_term := search_term.strip():
            facts = queryset.alias(**{f"its_{name}": KeyTextTransform(name, "fact") for name in IDS_OF_FACTS})
            ids = Q.create([(f"its_{name}", search_term) for name in IDS_OF_FACTS], connector=Q.OR)
            found = queryset.filter(Q(pk__in=found.values("pk")) | Q(pk__in=facts.filter(ids).values("pk")))
        return found, has_duplicates


@admin.register(ParkedRow)
class ParkedRowAdmin(ReadOnlyAdmin):
    """Work that failed for one row and was set aside: a run or the same fact sent again clears it."""

    list_display = ("kind", "key", "customer", "error", "tries", "parked_at", "cleared_at")
    list_filter = (("cleared_at", admin.EmptyFieldListFilter), "kind")
    list_select_related = ("customer",)
    search_fields = ("key__exact", "customer__account_id__exact", "error__icontains")
    ordering = ("-pk",)


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Addresses, and whether they are confirmed: that is their holder's to do."""

    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified",)
    list_select_related = ("user",)
    search_fields = ("email__istartswith", "user__account_id__exact")
    ordering = ("-pk",)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Second factors, without their secrets; staff take one away from somebody who has lost it."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__account_id__exact", "user__email__istartswith")
    fields = ("user", "type", "created_at", "last_used_at")
    ordering = ("-pk",)
    actions = ("take_away",)

    def has_vouch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mfa.delete_authenticator")

    @admin.action(description="Take away every second factor of the account", permissions=["vouch"])
    def take_away(self, request: HttpRequest, chosen: QuerySet[Authenticator]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Take away every second factor of the account",
            form_class=SureForm,
            carry_out=lambda factor, _: remove_second_factors(user_id=factor.user_id),
            refusals=(),
        )


@admin.register(ClockOffset)
class ClockOffsetAdmin(ReadOnlyAdmin):
    """How far the demo's clock runs ahead."""

    list_display = ("id", "ahead")


admin.site.register(User, UserAdmin)
import_module("accounts.webhook_admin")
