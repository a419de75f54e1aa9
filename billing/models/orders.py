"""What was ordered at our own checkout: how it was paid to the cent, and what came back."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Round
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from djmoney.models.fields import MoneyField

from accounts.ledger import append_only, in_dollars, kept
from accounts.models import User
from billing.models.catalogue import Product
from billing.models.payment_methods import PaymentMethod
from credits.models import Coupon


def _dollars() -> MoneyField:
    return MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency")


def _adds_up(name: str, whole: str) -> list[models.CheckConstraint]:
    return [
        in_dollars(f"{name}_is_in_dollars"),
        models.CheckConstraint(
            name=f"{name}_parts_are_not_negative", condition=Q(trial__gte=0, credit__gte=0, cash__gte=0)
        ),
        models.CheckConstraint(
            name=f"{name}_parts_add_up", condition=Q(**{whole: F("trial") + F("credit") + F("cash")})
        ),
        models.CheckConstraint(name=f"{name}_is_above_zero", condition=Q(**{f"{whole}__gt": 0})),
    ]


class OrderQuerySet(models.QuerySet["Order"]):
    def unfinished(self) -> OrderQuerySet:
        """Those of which it is not known yet whether they are paid."""
        return self.filter(state=Order.State.PLACED)

    def placed_before(self, at: datetime) -> OrderQuerySet:
        return self.filter(placed_at__lt=at)


class Order(models.Model):
    """What a customer ordered once: `key` is the button that was pressed, however often.

    PLACED: how it is to be paid stands, nothing is redeemed, and the gateway may or may not have charged. It ends PAID,
    with its credit redeemed and its cash charged, or CANCELLED, with neither, and `reason` says why. All amounts are in
    US dollars; `total` = `trial` + `credit` + `cash`.
    """

    class State(models.TextChoices):
        PLACED = "placed", _("Being paid")
        PAID = "paid", pgettext_lazy("order", "Paid")
        CANCELLED = "cancelled", _("Not paid")

    class Reason(models.TextChoices):
        DECLINED = "declined", _("the card was declined")
        CREDIT_GONE = "credit_gone", _("the credit was used or ended elsewhere in the meantime")
        NOT_CHARGED = "not_charged", _("the payment provider did not take the payment")

    customer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="orders", db_index=False)
    number = models.CharField(max_length=20, unique=True, db_collation="C")
    key = models.CharField(max_length=64, db_collation="C")
    state = models.CharField(max_length=9, choices=State, default=State.PLACED)
    reason = models.CharField(max_length=11, choices=Reason, blank=True)
    total = _dollars()
    trial = _dollars()
    credit = _dollars()
    cash = _dollars()
    placed_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[OrderQuerySet] = OrderQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            *_adds_up("order", "total"),
            models.UniqueConstraint(fields=["customer", "key"], name="a_button_orders_once"),
            models.CheckConstraint(name="order_key_is_not_empty", condition=~Q(key="") & ~Q(number="")),
            models.CheckConstraint(
                name="order_has_the_instant_of_its_state",
                condition=Q(state="placed", paid_at__isnull=True, cancelled_at__isnull=True)
                | Q(state="paid", paid_at__isnull=False, cancelled_at__isnull=True)
                | Q(state="cancelled", paid_at__isnull=True, cancelled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="cancelled_order_says_why",
                condition=(Q(state="cancelled") & ~Q(reason="")) | (~Q(state="cancelled") & Q(reason="")),
            ),
        ]
        indexes = [
            models.Index(fields=["customer", "placed_at"], name="orders_of_a_customer"),
            models.Index(fields=["placed_at"], name="orders_not_finished", condition=Q(state="placed")),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="what_was_ordered_stays",
                fields=["customer", "number", "key", "total", "trial", "credit", "cash", "currency", "placed_at"],
            ),
            pgtrigger.Protect(
                name="order_ends_once", operation=pgtrigger.Update, condition=~pgtrigger.Q(old__state="placed")
            ),
        ]

    def __str__(self) -> str:
        return self.number


class OrderLine(models.Model):
    """A product in an order: `amount` = `price` x `quantity`, half up to the cent, and who pays how much of it."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.PositiveSmallIntegerField()
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    price = models.DecimalField(max_digits=12, decimal_places=4)
    quantity = models.PositiveIntegerField()
    amount = _dollars()
    trial = _dollars()
    credit = _dollars()
    cash = _dollars()

    class Meta:
        constraints = [
            *_adds_up("line", "amount"),
            models.UniqueConstraint(fields=["order", "position"], name="lines_of_an_order_stand_in_order"),
            models.UniqueConstraint(fields=["order", "product"], name="an_order_has_a_product_once"),
            models.CheckConstraint(
                name="line_costs_its_price",
                condition=Q(quantity__gte=1, amount=Round(F("price") * F("quantity"), precision=2)),
            ),
        ]
        ordering = ("position",)
        triggers = append_only()

    def __str__(self) -> str:
        return f"line {self.position}"


class OrderCoupon(models.Model):
    """How much of a coupon an order is to use; once it is paid, that is what it has used."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="coupons", db_index=False)
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="+")
    amount = _dollars()

    class Meta:
        constraints = [
            in_dollars("order_coupon_is_in_dollars"),
            models.UniqueConstraint(fields=["order", "coupon"], name="an_order_uses_a_coupon_once"),
            models.CheckConstraint(name="order_coupon_is_above_zero", condition=Q(amount__gt=0)),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.amount}"


class Charge(models.Model):
    """The cash of an order, as asked of a gateway under an idempotency key of ours.

    ASKED: the outcome is not known yet, and is asked back by the key, never guessed. MADE may become UNDOING, since the
    order could not be finished: what was charged goes back whole; then it is UNDONE. `gateway_id` names it at the
    gateway.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("asked")
        MADE = "made", _("made")
        DECLINED = "declined", _("declined")
        NOT_MADE = "not_made", _("not made")
        UNDOING = "undoing", _("being undone")
        UNDONE = "undone", _("undone")

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="charge")
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=100, unique=True, db_collation="C")
    amount = _dollars()
    state = models.CharField(max_length=8, choices=State, default=State.ASKED)
    gateway_id = models.CharField(max_length=200, blank=True, db_collation="C")
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            in_dollars("charge_is_in_dollars"),
            models.CheckConstraint(name="charge_is_above_zero", condition=Q(amount__gt=0) & ~Q(key="")),
            models.CheckConstraint(
                name="charge_that_was_made_has_its_name",
                condition=~Q(state__in=["made", "undoing", "undone"]) | ~Q(gateway_id=""),
            ),
            models.CheckConstraint(
                name="charge_is_answered_or_asked",
                condition=Q(state="asked", answered_at__isnull=True)
                | (~Q(state="asked") & Q(answered_at__isnull=False)),
            ),
            models.UniqueConstraint(
                fields=["gateway_id"], condition=~Q(gateway_id=""), name="a_gateways_charge_is_ours_once"
            ),
        ]
        indexes = [models.Index(fields=["id"], name="charges_to_undo", condition=Q(state="undoing"))]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="what_was_charged_stays", fields=["order", "method", "key", "amount", "currency", "asked_at"]
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Refund(models.Model):
    """What staff give back of a paid order, whole or by line and part: `key` is the button that was pressed.

    ASKED: the parts stand, and the gateway is asked to give the cash back; DONE: it has, credit and trial are back on
    their coupons, and the spend events are recorded; FAILED: the gateway refused, and nothing has changed.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("asked")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="refunds")
    key = models.CharField(max_length=64, unique=True, db_collation="C")
    state = models.CharField(max_length=6, choices=State, default=State.ASKED)
    amount = _dollars()
    trial = _dollars()
    credit = _dollars()
    cash = _dollars()
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(blank=True)
    gateway_id = models.CharField(max_length=200, blank=True, db_collation="C")
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            *_adds_up("refund", "amount"),
            models.CheckConstraint(name="refund_key_is_not_empty", condition=~Q(key="")),
            # What the next one gives back depends on how this one ends.
            models.UniqueConstraint(
                fields=["order"], condition=Q(state="asked"), name="an_order_has_one_refund_on_its_way"
            ),
            models.CheckConstraint(
                name="refund_is_ended_or_asked",
                condition=Q(state="asked", ended_at__isnull=True) | (~Q(state="asked") & Q(ended_at__isnull=False)),
            ),
        ]
        indexes = [models.Index(fields=["asked_at"], name="refunds_not_finished", condition=Q(state="asked"))]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="what_was_refunded_stays",
                fields=["order", "key", "amount", "trial", "credit", "cash", "currency", "actor", "asked_at"],
            ),
            pgtrigger.Protect(
                name="refund_ends_once",
                operation=pgtrigger.Update,
                condition=~pgtrigger.Q(old__state="asked") & pgtrigger.Q(old__state__df=pgtrigger.F("new__state")),
            ),
        ]

    def __str__(self) -> str:
        return f"refund {self.pk}"


class RefundLine(models.Model):
    """What came back of one line, in the proportion in which it was paid."""

    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, related_name="lines", db_index=False)
    line = models.ForeignKey(OrderLine, on_delete=models.PROTECT, related_name="refunds")
    amount = _dollars()
    trial = _dollars()
    credit = _dollars()
    cash = _dollars()

    class Meta:
        constraints = [
            *_adds_up("refund_line", "amount"),
            models.UniqueConstraint(fields=["refund", "line"], name="a_refund_has_a_line_once"),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.amount}"


class Dispute(models.Model):
    """A charge that the cardholder's bank took back: OPEN and LOST it is gone, WON it came back."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        WON = "won", _("won")
        LOST = "lost", _("lost")

    charge = models.ForeignKey(Charge, on_delete=models.PROTECT, related_name="disputes")
    dispute_id = models.CharField(max_length=200, unique=True, db_collation="C")
    state = models.CharField(max_length=4, choices=State, default=State.OPEN)
    amount = _dollars()
    opened_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            in_dollars("dispute_is_in_dollars"),
            models.CheckConstraint(name="dispute_is_above_zero", condition=Q(amount__gt=0) & ~Q(dispute_id="")),
            models.CheckConstraint(
                name="dispute_is_ended_or_open",
                condition=Q(state="open", ended_at__isnull=True) | (~Q(state="open") & Q(ended_at__isnull=False)),
            ),
        ]
        triggers = [
            *kept(),
            pgtrigger.ReadOnly(
                name="what_was_disputed_stays", fields=["charge", "dispute_id", "amount", "currency", "opened_at"]
            ),
        ]

    def __str__(self) -> str:
        return self.dispute_id


class DisputeLine(models.Model):
    """Which part of a disputed amount is of which line."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="lines", db_index=False)
    line = models.ForeignKey(OrderLine, on_delete=models.PROTECT, related_name="disputes")
    amount = _dollars()

    class Meta:
        constraints = [
            in_dollars("dispute_line_is_in_dollars"),
            models.UniqueConstraint(fields=["dispute", "line"], name="a_dispute_has_a_line_once"),
            models.CheckConstraint(name="dispute_line_is_above_zero", condition=Q(amount__gt=0)),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.amount}"


class SandboxCharge(models.Model):
    """What the sandbox gateway remembers of its charges: its own ledger, which stands for what a real one keeps."""

    key = models.CharField(max_length=100, unique=True, db_collation="C")
    token = models.CharField(max_length=200, db_collation="C")
    amount = _dollars()
    outcome = models.CharField(max_length=8, choices=[("made", "made"), ("declined", "declined")])
    refunded = MoneyField(max_digits=12, decimal_places=2, currency_field_name="currency", default=0)

    class Meta:
        constraints = [
            in_dollars("sandbox_charge_is_in_dollars"),
            models.CheckConstraint(
                name="sandbox_refunds_no_more_than_it_charged",
                condition=Q(amount__gt=0, refunded__gte=0, refunded__lte=F("amount")),
            ),
        ]

    def __str__(self) -> str:
        return self.key


class SandboxRefund(models.Model):
    """What the sandbox gateway gave back, once for each key."""

    charge = models.ForeignKey(SandboxCharge, on_delete=models.PROTECT, related_name="refunds")
    key = models.CharField(max_length=100, unique=True, db_collation="C")
    amount = _dollars()

    class Meta:
        constraints = [in_dollars("sandbox_refund_is_in_dollars")]

    def __str__(self) -> str:
        return self.key
