"""What may be bought, what is paid with, what was ordered, and every fact about money that came in or went back."""

from billing.models.catalogue import ExchangeRate, Product, Unit
from billing.models.orders import (
    Charge,
    Dispute,
    DisputeLine,
    Order,
    OrderCoupon,
    OrderLine,
    OrderQuerySet,
    Refund,
    RefundLine,
    SandboxCharge,
    SandboxRefund,
)
from billing.models.payment_methods import (
    GatewayCustomer,
    GatewayEvent,
    PaymentMethod,
    PaymentMethodQuerySet,
    end_of_month,
)
from billing.models.spend import SpendBatch, SpendEvent, SpendType, WaitingReversal

__all__ = [
    "Charge",
    "Dispute",
    "DisputeLine",
    "ExchangeRate",
    "GatewayCustomer",
    "GatewayEvent",
    "Order",
    "OrderCoupon",
    "OrderLine",
    "OrderQuerySet",
    "PaymentMethod",
    "PaymentMethodQuerySet",
    "Product",
    "Refund",
    "RefundLine",
    "SandboxCharge",
    "SandboxRefund",
    "SpendBatch",
    "SpendEvent",
    "SpendType",
    "Unit",
    "WaitingReversal",
    "end_of_month",
]
