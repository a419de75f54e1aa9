"""The admin's pages of credit: all of it is looked at, none of it is written here."""

from django.contrib import admin

from accounts.desk import ReadOnlyAdmin, ReadOnlyInline
from credits.models import (
    Coupon,
    CouponEntry,
    CreditAccount,
    Debt,
    DebtEntry,
    Redemption,
    RedemptionLine,
    RedemptionReturn,
)

CUSTOMER = ("customer__customer__account_id__exact", "customer__customer__email__istartswith")
FRIEND = ("friend__account_id__exact", "friend__email__istartswith")


class CouponEntryInline(ReadOnlyInline):
    model = CouponEntry
    fields = ("type", "amount", "balance_after", "reference", "occurred_at", "recorded_at")
    ordering = ("pk",)


class DebtEntryInline(ReadOnlyInline):
    model = DebtEntry
    fields = ("type", "amount", "balance_after", "reference", "occurred_at", "recorded_at")
    ordering = ("pk",)


class RedemptionLineInline(ReadOnlyInline):
    model = RedemptionLine
    fields = ("position", "product", "accepts_credit", "amount", "paid")
    ordering = ("position",)


class RedemptionReturnInline(ReadOnlyInline):
    model = RedemptionReturn
    fields = ("return_id", "amount", "occurred_at", "recorded_at")
    ordering = ("pk",)


@admin.register(CreditAccount)
class CreditAccountAdmin(ReadOnlyAdmin):
    list_display = ("customer", "frozen_at")
    list_filter = (("frozen_at", admin.EmptyFieldListFilter),)
    list_select_related = ("customer",)
    search_fields = ("customer__account_id__exact", "customer__email__istartswith")
    ordering = ("-pk",)


@admin.register(Coupon)
class CouponAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "account_id",
        "kind",
        "friend",
        "amount",
        "remaining",
        "redeemed",
        "expired",
        "revoked",
        "issued_at",
        "expires_at",
    )
    list_filter = ("kind", ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("customer__customer", "friend")
    search_fields = ("id__exact", *CUSTOMER, *FRIEND, "source__exact")
    ordering = ("-pk",)
    inlines = [CouponEntryInline]

    @admin.display(description="account")
    def account_id(self, coupon: Coupon) -> str:
        return coupon.customer.customer.account_id


@admin.register(CouponEntry)
class CouponEntryAdmin(ReadOnlyAdmin):
    list_display = ("id", "coupon", "account_id", "type", "amount", "balance_after", "reference", "occurred_at")
    list_filter = ("type",)
    list_select_related = ("coupon__customer__customer",)
    search_fields = (*(f"coupon__{path}" for path in (*CUSTOMER, *FRIEND)), "reference__exact")
    ordering = ("-pk",)

    @admin.display(description="account")
    def account_id(self, entry: CouponEntry) -> str:
        return entry.coupon.customer.customer.account_id


@admin.register(Redemption)
class RedemptionAdmin(ReadOnlyAdmin):
    list_display = ("redemption_id", "source", "account_id", "amount", "occurred_at", "recorded_at")
    list_select_related = ("customer__customer",)
    search_fields = ("redemption_id__exact", *CUSTOMER)
    ordering = ("-pk",)
    inlines = [RedemptionLineInline, CouponEntryInline, RedemptionReturnInline]

    @admin.display(description="account")
    def account_id(self, redemption: Redemption) -> str:
        return redemption.customer.customer.account_id


@admin.register(RedemptionLine)
class RedemptionLineAdmin(ReadOnlyAdmin):
    list_display = ("id", "redemption", "account_id", "position", "product", "accepts_credit", "amount", "paid")
    list_filter = ("accepts_credit",)
    list_select_related = ("redemption__customer__customer",)
    search_fields = ("redemption__redemption_id__exact", *(f"redemption__{path}" for path in CUSTOMER))
    ordering = ("-pk",)

    @admin.display(description="account")
    def account_id(self, line: RedemptionLine) -> str:
        return line.redemption.customer.customer.account_id


@admin.register(RedemptionReturn)
class RedemptionReturnAdmin(ReadOnlyAdmin):
    list_display = ("return_id", "redemption", "account_id", "amount", "occurred_at", "recorded_at")
    list_select_related = ("redemption__customer__customer",)
    search_fields = (
        "return_id__exact",
        "redemption__redemption_id__exact",
        *(f"redemption__{path}" for path in CUSTOMER),
    )
    ordering = ("-pk",)

    @admin.display(description="account")
    def account_id(self, given_back: RedemptionReturn) -> str:
        return given_back.redemption.customer.customer.account_id


@admin.register(Debt)
class DebtAdmin(ReadOnlyAdmin):
    list_display = ("id", "account_id", "friend", "kind", "amount", "outstanding", "opened_at")
    list_filter = ("kind",)
    list_select_related = ("customer__customer", "friend")
    search_fields = ("id__exact", *CUSTOMER, *FRIEND, "source__exact")
    ordering = ("-pk",)
    inlines = [DebtEntryInline]

    @admin.display(description="account")
    def account_id(self, debt: Debt) -> str:
        return debt.customer.customer.account_id


@admin.register(DebtEntry)
class DebtEntryAdmin(ReadOnlyAdmin):
    list_display = ("id", "debt", "account_id", "type", "amount", "balance_after", "reference", "occurred_at")
    list_filter = ("type",)
    list_select_related = ("debt__customer__customer",)
    search_fields = (*(f"debt__{path}" for path in (*CUSTOMER, *FRIEND)), "debt__source__exact", "reference__exact")
    ordering = ("-pk",)

    @admin.display(description="account")
    def account_id(self, entry: DebtEntry) -> str:
        return entry.debt.customer.customer.account_id
