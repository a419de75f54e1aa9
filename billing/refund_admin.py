"""The admin's pages of refunds and disputes, and the one on which staff refund an order."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts import clock
from accounts.desk import ReadOnlyAdmin, ReadOnlyInline
from accounts.models import User
from billing.models import Dispute, DisputeLine, Order, Refund, RefundLine
from billing.operations import refund_order
from billing.queries.refunds import lines_left, refund_preview
from billing.refunding import LineLeft, PlannedRefund, UnableToRefund, Wanted

OF_ORDER = ("order__number__exact", "order__customer__account_id__exact", "order__customer__email__istartswith")


class RefundForm(forms.Form):
    """How much of which line is to come back, or all that is left; `key` is the button, however often it is pressed."""

    key = forms.CharField(max_length=64, widget=forms.HiddenInput)
    whole = forms.BooleanField(required=False, label="All that is left of every line")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *arguments: Any, lefts: Sequence[LineLeft], **options: Any) -> None:
        super().__init__(*arguments, **options)
        # What was named and has come back since stays named: the same button again is the same refund.
        self.lefts = [left for left in lefts if left.most or self._name(left) in self.data]
        for left in self.lefts:
            self.fields[self._name(left)] = forms.DecimalField(
                required=False,
                max_digits=12,
                decimal_places=2,
                min_value=Decimal("0.01"),
                label=f"{left.position}. {left.name}",
                help_text=f"At most ${left.most:,.2f}.",
            )
        self.order_fields(["key", "whole", *[self._name(left) for left in self.lefts], "reason"])

    @property
    def wanted(self) -> list[Wanted] | None:
        """The lines that were named; None for all that is left."""
        return None if self.cleaned_data["whole"] else self._named(self.cleaned_data)

    def clean(self) -> dict[str, Any]:
        answer = super().clean() or {}
        if not self.errors and answer["whole"] == bool(self._named(answer)):
            raise ValidationError("Enter an amount for some lines, or choose all that is left of every line.")
        return answer

    def confirmation(self, planned: PlannedRefund) -> list[tuple[str, object]]:
        """The fields of the form that carries out what was previewed: each line by its amount, whatever was chosen."""
        amounts = [(self._name(line.left), line.parts.total) for line in planned.lines]
        return [("key", self.cleaned_data["key"]), ("reason", self.cleaned_data["reason"]), *amounts]

    def _named(self, answer: dict[str, Any]) -> list[Wanted]:
        amounts = [(left.position, answer.get(self._name(left))) for left in self.lefts]
        return [(position, amount) for position, amount in amounts if amount is not None]

    @staticmethod
    def _name(left: LineLeft) -> str:
        return f"line_{left.position}"


class RefundInline(ReadOnlyInline):
    model = Refund
    fields = ("state", "amount", "cash", "credit", "trial", "actor", "reason", "asked_at", "ended_at")
    ordering = ("pk",)


class RefundingAdmin(ReadOnlyAdmin):
    """Pages of orders from which staff refund."""

    change_form_template = "admin/billing/order/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        refund = path(
            "<int:order_id>/refund/", self.admin_site.admin_view(self.refund_view), name="billing_order_refund"
        )
        return [refund, *super().get_urls()]

    def refund_view(self, request: HttpRequest, order_id: int) -> HttpResponse:
        """Ask how much is to come back, say what that comes to, and carry it out once that was seen."""
        if not request.user.has_perm("billing.add_refund"):
            raise PermissionDenied
        form = RefundForm(
            request.POST or None, lefts=lines_left(order_id=order_id), initial={"key": secrets.token_urlsafe(24)}
        )
        planned = None
        if form.is_valid():
            try:
                if "carry_out" in request.POST:
                    return self._carry_out(request, order_id, form)
                planned = refund_preview(order_id=order_id, wanted=form.wanted)
            except UnableToRefund as refusal:
                form.add_error(None, str(refusal))
        return self._page(request, order_id, form, planned)

    def _carry_out(self, request: HttpRequest, order_id: int, form: RefundForm) -> HttpResponse:
        assert isinstance(request.user, User)  # admin_view
        refund = refund_order(
            order_id=order_id,
            key=form.cleaned_data["key"],
            lines=form.wanted,
            actor=request.user,
            reason=form.cleaned_data["reason"],
            now=clock.now(),
        )
        level, text = {
            Refund.State.DONE: (messages.SUCCESS, "Refunded."),
            Refund.State.FAILED: (messages.ERROR, "The payment provider refused: nothing has changed."),
            Refund.State.ASKED: (
                messages.WARNING,
                "The payment provider does not answer: it is asked again every minute, and gives back once.",
            ),
        }[Refund.State(refund.state)]
        messages.add_message(request, level, text)
        return redirect("admin:billing_refund_change", refund.pk)

    def _page(
        self, request: HttpRequest, order_id: int, form: RefundForm, planned: PlannedRefund | None
    ) -> TemplateResponse:
        order = Order.objects.filter(pk=order_id).first()
        if order is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": f"Refund {order}",
            "order": order,
            "form": form,
            "planned": planned,
            "confirmation": form.confirmation(planned) if planned else [],
            "back": reverse("admin:billing_order_change", args=[order_id]),
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/billing/order/refund.html", context)


class RefundLineInline(ReadOnlyInline):
    model = RefundLine
    fields = ("line", "amount", "cash", "credit", "trial")
    ordering = ("line__position",)


class DisputeLineInline(ReadOnlyInline):
    model = DisputeLine
    fields = ("line", "amount")
    ordering = ("line__position",)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """What staff gave back."""

    list_display = ("id", "order", "state", "amount", "cash", "credit", "trial", "actor", "asked_at", "ended_at")
    list_filter = ("state",)
    list_select_related = ("order", "actor")
    search_fields = ("key__exact", "gateway_id__exact", *OF_ORDER)
    ordering = ("-pk",)
    inlines = [RefundLineInline]


@admin.register(RefundLine)
class RefundLineAdmin(ReadOnlyAdmin):
    """What came back of each line."""

    list_display = ("refund", "line", "amount", "cash", "credit", "trial")
    list_select_related = ("refund", "line")
    search_fields = tuple(f"refund__{field}" for field in OF_ORDER)
    ordering = ("-pk",)


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    """Charges that a cardholder's bank took back."""

    list_display = ("dispute_id", "charge", "state", "amount", "opened_at", "ended_at")
    list_filter = ("state",)
    list_select_related = ("charge",)
    search_fields = ("dispute_id__exact", "charge__gateway_id__exact", *(f"charge__{field}" for field in OF_ORDER))
    ordering = ("-pk",)
    inlines = [DisputeLineInline]


@admin.register(DisputeLine)
class DisputeLineAdmin(ReadOnlyAdmin):
    """Which part of a dispute is of which line."""

    list_display = ("dispute", "line", "amount")
    list_select_related = ("dispute", "line")
    search_fields = ("dispute__dispute_id__exact",)
    ordering = ("-pk",)
