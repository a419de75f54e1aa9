"""The admin's pages of the catalogue, of payment methods, of orders and of spend: facts, looked at."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from accounts.desk import ReadOnlyAdmin, ReadOnlyInline, ask_first
from billing.models import (
    Charge,
    ExchangeRate,
    GatewayCustomer,
    GatewayEvent,
    Order,
    OrderCoupon,
    OrderLine,
    PaymentMethod,
    Product,
    SandboxCharge,
    SandboxRefund,
    SpendBatch,
    SpendEvent,
    Unit,
    WaitingReversal,
)
from billing.operations import UnableToSetPrice, set_price
from billing.refund_admin import RefundingAdmin, RefundInline

CUSTOMER = ("customer__account_id__exact", "customer__email__istartswith")


class ReversalInline(ReadOnlyInline):
    model = SpendEvent
    fk_name = "payment"
    verbose_name_plural = "reversals"
    fields = ("event_id", "type", "amount", "original_amount", "original_currency", "occurred_at")
    ordering = ("pk",)


class PriceForm(forms.Form):
    """What a unit costs."""

    price = forms.DecimalField(max_digits=12, decimal_places=4, help_text="In US dollars.")
    unit = forms.ChoiceField(choices=Unit.choices)
    regular_price = forms.DecimalField(
        max_digits=12, decimal_places=4, required=False, help_text="Of a special offer: what it costs otherwise."
    )


@admin.register(Product)
class ProductAdmin(ReadOnlyAdmin):
    """The catalogue; what is in it costs what staff say."""

    list_display = (
        "code",
        "name",
        "family",
        "price",
        "unit",
        "regular_price",
        "earns_credit",
        "accepts_credit",
        "accepts_trial",
    )
    actions = ("change_price",)
    list_filter = ("family", "earns_credit", "accepts_credit", "accepts_trial")
    search_fields = ("code__exact", "name__icontains")
    ordering = ("code",)

    def has_price_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_product")

    @admin.action(description="Set the price", permissions=["price"])
    def change_price(self, request: HttpRequest, chosen: QuerySet[Product]) -> TemplateResponse | None:
        """Ask for the price, then set it for each product chosen."""
        return ask_first(
            self,
            request,
            chosen,
            title="Set the price",
            form_class=PriceForm,
            carry_out=_set_price,
            refusals=(UnableToSetPrice,),
        )


def _set_price(product: Product, answer: dict[str, Any]) -> None:
    set_price(product_id=product.pk, price=answer["price"], unit=answer["unit"], regular_price=answer["regular_price"])


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyAdmin):
    """The ECB's reference rates, in US dollars a unit."""

    list_display = ("currency", "day", "rate")
    list_filter = ("currency",)
    search_fields = ("currency__exact",)
    show_full_result_count = False
    ordering = ("-day", "currency")


@admin.register(SpendBatch)
class SpendBatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "source", "received_at", "run", "accepted", "waiting", "duplicate", "refused", "applied_at")
    list_filter = (("applied_at", admin.EmptyFieldListFilter),)
    list_select_related = ("run",)
    search_fields = ("id__exact", "run__file_digest__exact")
    ordering = ("-pk",)


@admin.register(SpendEvent)
class SpendEventAdmin(ReadOnlyAdmin):
    list_display = (
        "event_id",
        "source",
        "customer",
        "type",
        "product",
        "payment",
        "amount",
        "original_amount",
        "original_currency",
        "qualifies",
        "occurred_at",
    )
    list_filter = ("type", "qualifies")
    list_select_related = ("customer", "product", "payment")
    search_fields = ("event_id__exact", "payment__event_id__exact", *CUSTOMER)
    ordering = ("-pk",)
    inlines = [ReversalInline]


@admin.register(WaitingReversal)
class WaitingReversalAdmin(ReadOnlyAdmin):
    list_display = (
        "event_id",
        "source",
        "customer",
        "type",
        "payment_event_id",
        "original_amount",
        "original_currency",
        "occurred_at",
    )
    list_filter = ("type",)
    list_select_related = ("customer",)
    search_fields = ("event_id__exact", "payment_event_id__exact", *CUSTOMER)
    ordering = ("-pk",)


@admin.register(PaymentMethod)
class PaymentMethodAdmin(ReadOnlyAdmin):
    """Ways to pay that are or were on file; of cards, what their gateway tells."""

    list_display = (
        "customer",
        "gateway",
        "brand",
        "last_four",
        "expires_at",
        "is_default",
        "fingerprint",
        "added_at",
        "removed_at",
    )
    list_filter = ("gateway", ("removed_at", admin.EmptyFieldListFilter), "is_default")
    list_select_related = ("customer",)
    search_fields = ("token__exact", "fingerprint__exact", *CUSTOMER)
    ordering = ("-pk",)


@admin.register(GatewayCustomer)
class GatewayCustomerAdmin(ReadOnlyAdmin):
    """The names that customers have at gateways."""

    list_display = ("token", "gateway", "customer", "opened_at", "closed_at")
    list_filter = ("gateway", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("token__exact", *CUSTOMER)
    ordering = ("-pk",)


@admin.register(GatewayEvent)
class GatewayEventAdmin(ReadOnlyAdmin):
    """What gateways told by webhooks, each once."""

    list_display = ("event_id", "gateway", "type", "received_at")
    list_filter = ("gateway", "type")
    search_fields = ("event_id__exact",)
    ordering = ("-pk",)


class OrderLineInline(ReadOnlyInline):
    model = OrderLine
    fields = ("position", "product", "price", "quantity", "amount", "trial", "credit", "cash")
    ordering = ("position",)


class OrderCouponInline(ReadOnlyInline):
    model = OrderCoupon
    verbose_name_plural = "coupons"
    fields = ("coupon", "amount")
    ordering = ("pk",)


class ChargeInline(ReadOnlyInline):
    model = Charge
    fields = ("key", "method", "amount", "state", "gateway_id", "asked_at", "answered_at")


@admin.register(Order)
class OrderAdmin(RefundingAdmin):
    """What was ordered at our own checkout, how it is paid, and what has become of it."""

    list_display = (
        "number",
        "customer",
        "state",
        "reason",
        "total",
        "trial",
        "credit",
        "cash",
        "placed_at",
        "paid_at",
        "cancelled_at",
    )
    list_filter = ("state", "reason")
    list_select_related = ("customer",)
    search_fields = ("number__exact", *CUSTOMER)
    ordering = ("-pk",)
    inlines = [OrderLineInline, OrderCouponInline, ChargeInline, RefundInline]


@admin.register(OrderLine)
class OrderLineAdmin(ReadOnlyAdmin):
    list_display = ("order", "position", "product", "price", "quantity", "amount", "trial", "credit", "cash")
    list_select_related = ("order", "product")
    search_fields = ("order__number__exact", "product__code__exact")
    ordering = ("-pk",)


@admin.register(OrderCoupon)
class OrderCouponAdmin(ReadOnlyAdmin):
    """How much of which coupon an order is to use, or has used once it is paid."""

    list_display = ("order", "coupon", "amount")
    list_select_related = ("order", "coupon")
    search_fields = ("order__number__exact", "coupon__id__exact")
    ordering = ("-pk",)


@admin.register(Charge)
class ChargeAdmin(ReadOnlyAdmin):
    """The cash of orders, as asked of gateways; one that is being undone for long is staff's to give back there."""

    list_display = ("key", "order", "method", "amount", "state", "gateway_id", "asked_at", "answered_at")
    list_filter = ("state",)
    list_select_related = ("order", "method")
    search_fields = ("key__exact", "gateway_id__exact", "order__number__exact")
    ordering = ("-pk",)


@admin.register(SandboxCharge)
class SandboxChargeAdmin(ReadOnlyAdmin):
    """The sandbox's own ledger: what it would have taken from cards."""

    list_display = ("key", "token", "amount", "outcome", "refunded")
    list_filter = ("outcome",)
    search_fields = ("key__exact", "token__exact")
    ordering = ("-pk",)


@admin.register(SandboxRefund)
class SandboxRefundAdmin(ReadOnlyAdmin):
    """The sandbox's own ledger: what it would have given back."""

    list_display = ("key", "charge", "amount")
    list_select_related = ("charge",)
    search_fields = ("key__exact", "charge__key__exact")
    ordering = ("-pk",)
