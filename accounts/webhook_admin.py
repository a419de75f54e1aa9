"""The admin's pages of webhooks: endpoints and their secrets, what there was to tell, and how it went."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import clock
from accounts.desk import ModelForm, ReadOnlyAdmin, ReadOnlyInline, ask_first
from accounts.models import (
    User,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
    WebhookSecret,
    WebhookType,
)
from accounts.operations import (
    UnableToHook,
    UnableToResend,
    add_endpoint,
    resend_webhook,
    rotate_secret,
    send_test,
    switch_endpoint_off,
    switch_endpoint_on,
)
from accounts.webhook_addresses import UnableToReach, target_of

EVENTS = [choice for choice in WebhookType.values if choice != WebhookType.TEST]


class SureForm(forms.Form):
    """Nothing to fill in: the page itself is the question."""


class OverlapForm(forms.Form):
    """How long the old secret still signs."""

    hours = forms.IntegerField(
        min_value=0,
        max_value=168,
        initial=24,
        help_text="So long every message has a signature by the old secret, too. 0 where it has leaked.",
    )


class EndpointForm(ModelForm):
    """Where to, and of what."""

    events = forms.MultipleChoiceField(
        choices=[(name, name) for name in EVENTS], initial=EVENTS, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "events")
        widgets: ClassVar[dict[str, forms.Widget]] = {"url": forms.URLInput(attrs={"class": "vTextField"})}
        help_texts = {"url": "A public https address. It is told of what happens from now on."}

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            target_of(url)
        except UnableToReach as refusal:
            raise ValidationError(str(refusal)) from refusal
        return url


class SecretInline(ReadOnlyInline):
    model = WebhookSecret
    fields = ("tail", "created_at", "ends_at")


class AttemptInline(ReadOnlyInline):
    model = WebhookAttempt
    fields = ("at", "status", "error", "milliseconds")
    ordering = ("pk",)


class DeliveryInline(ReadOnlyInline):
    model = WebhookDelivery
    fields = ("endpoint", "state", "attempts", "last_status", "error", "sent_at")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Who is told. A secret is shown once: when the endpoint is added, and when it is rotated."""

    form = EndpointForm
    list_display = ("url", "is_on", "wants", "created_at", "switched_off_at", "off_reason")
    list_filter = (("switched_off_at", admin.EmptyFieldListFilter),)
    search_fields = ("url__icontains",)
    ordering = ("-pk",)
    inlines: ClassVar[list[type[Any]]] = [SecretInline]
    actions = ("rotate", "send_test_event", "switch_off", "switch_on")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.add_webhookendpoint")

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_webhookendpoint")

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[type[Any]]:
        return self.inlines if obj else []

    @admin.display(boolean=True, description="on")
    def is_on(self, endpoint: WebhookEndpoint) -> bool:
        return endpoint.switched_off_at is None

    @admin.display(description="events")
    def wants(self, endpoint: WebhookEndpoint) -> str:
        return "all" if set(endpoint.events) >= set(EVENTS) else ", ".join(endpoint.events)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """One button: the secret must be seen before anything else is done."""
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**buttons, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        actor = request.user if isinstance(request.user, User) else None
        added, obj.secret = add_endpoint(url=obj.url, events=obj.events, actor=actor, now=clock.now())  # type: ignore[attr-defined]
        obj.pk = added.pk

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self.show_secret(request, obj, obj.secret, "The endpoint is added")

    def show_secret(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, title: str) -> TemplateResponse:
        """Show a secret on the answer itself: it goes into no message, cookie, session or (as all here) cache."""
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "endpoint": endpoint,
            "secret": secret,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/webhook_secret.html", context)

    @admin.action(description="Rotate the secret", permissions=["manage"])
    def rotate(self, request: HttpRequest, chosen: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        if len(chosen[:2]) > 1:
            self.message_user(request, "A secret is shown for one endpoint: choose one.", level="error")
            return None
        shown: list[tuple[WebhookEndpoint, str]] = []

        def rotate(endpoint: WebhookEndpoint, answer: dict[str, Any]) -> None:
            overlap = timedelta(hours=answer["hours"])
            shown.append((endpoint, rotate_secret(endpoint_id=endpoint.pk, overlap=overlap, now=clock.now())))

        asked = ask_first(
            self,
            request,
            chosen,
            title="Rotate the secret",
            form_class=OverlapForm,
            carry_out=rotate,
            refusals=(UnableToHook,),
        )
        return self.show_secret(request, *shown[0], "The secret is rotated") if shown else asked

    @admin.action(description="Send a test event", permissions=["manage"])
    def send_test_event(self, request: HttpRequest, chosen: QuerySet[WebhookEndpoint]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Send a test event",
            form_class=SureForm,
            carry_out=lambda endpoint, _: send_test(endpoint_id=endpoint.pk, now=clock.now()),
            refusals=(UnableToHook,),
        )

    @admin.action(description="Switch off", permissions=["manage"])
    def switch_off(self, request: HttpRequest, chosen: QuerySet[WebhookEndpoint]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Switch off",
            form_class=SureForm,
            carry_out=lambda endpoint, _: switch_endpoint_off(endpoint_id=endpoint.pk, now=clock.now()),
            refusals=(),
        )

    @admin.action(description="Switch on", permissions=["manage"])
    def switch_on(self, request: HttpRequest, chosen: QuerySet[WebhookEndpoint]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen,
            title="Switch on",
            form_class=SureForm,
            carry_out=lambda endpoint, _: switch_endpoint_on(endpoint_id=endpoint.pk),
            refusals=(),
        )


@admin.register(WebhookSecret)
class WebhookSecretAdmin(ReadOnlyAdmin):
    """What messages are signed with, by its last characters: the secret itself is not kept."""

    list_display = ("endpoint", "tail", "created_at", "ends_at")
    list_select_related = ("endpoint",)
    list_filter = (("ends_at", admin.EmptyFieldListFilter),)
    search_fields = ("endpoint__url__icontains", "tail__exact")
    fields = ("endpoint", "tail", "created_at", "ends_at")
    ordering = ("-pk",)


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """What there was to tell."""

    list_display = ("message_id", "type", "stream", "sequence", "created_at")
    list_filter = ("type", ("sequence", admin.EmptyFieldListFilter))
    search_fields = ("key__exact", "stream__exact", "pk__exact")
    inlines: ClassVar[list[type[Any]]] = [DeliveryInline]
    ordering = ("-pk",)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """The log of deliveries, and what each try came to; any that has ended can be made again."""

    exclude = ("lease",)
    list_display = ("event", "endpoint", "state", "attempts", "last_status", "error", "created_at", "due_at", "sent_at")
    list_filter = ("state", "event__type", ("sent_at", admin.EmptyFieldListFilter))
    list_select_related = ("event", "endpoint")
    search_fields = ("event__key__exact", "event__stream__exact", "endpoint__url__icontains")
    inlines: ClassVar[list[type[Any]]] = [AttemptInline]
    ordering = ("-pk",)
    actions = ("resend",)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_webhookdelivery")

    @admin.action(description="Send again", permissions=["resend"])
    def resend(self, request: HttpRequest, chosen: QuerySet[WebhookDelivery]) -> TemplateResponse | None:
        return ask_first(
            self,
            request,
            chosen.select_related("event", "endpoint"),
            title="Send again",
            form_class=SureForm,
            carry_out=lambda delivery, _: resend_webhook(delivery_id=delivery.pk, now=clock.now()),
            refusals=(UnableToResend,),
        )


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(ReadOnlyAdmin):
    """Every try."""

    list_display = ("delivery", "at", "status", "error", "milliseconds")
    list_select_related = ("delivery",)
    search_fields = ("delivery__event__key__exact", "delivery__endpoint__url__icontains")
    ordering = ("-pk",)
