"""Every write of billing."""

from billing.operations.catalogue import UnableToSetPrice, set_price
from billing.operations.disputes import UnableToRecordDispute, record_dispute
from billing.operations.exchange_rates import keep_rates
from billing.operations.orders import UnableToFinish, check_out, finish_orders, pay_order, place_order
from billing.operations.payment_methods import (
    UnableToChangePaymentMethod,
    add_card,
    arrange_payment,
    clear_file,
    clear_payment_methods,
    forget_cards,
    receive_stripe_event,
    remove_card,
    save_card,
    set_default_card,
    start_card,
)
from billing.operations.purchases import LineFact, preview_purchase, redeem_purchase, return_of_purchase
from billing.operations.refunds import finish_refunds, refund_order
from billing.operations.spend import Receipt, SpendFact, record_spend
from billing.operations.told_method import ToldMethod, record_told_method
from billing.queries.checkout import UnableToOrder
from billing.refunding import UnableToRefund

__all__ = [
    "LineFact",
    "Receipt",
    "SpendFact",
    "ToldMethod",
    "UnableToChangePaymentMethod",
    "UnableToFinish",
    "UnableToOrder",
    "UnableToRecordDispute",
    "UnableToRefund",
    "UnableToSetPrice",
    "add_card",
    "arrange_payment",
    "check_out",
    "clear_file",
    "clear_payment_methods",
    "finish_orders",
    "finish_refunds",
    "forget_cards",
    "keep_rates",
    "pay_order",
    "place_order",
    "preview_purchase",
    "receive_stripe_event",
    "record_dispute",
    "record_spend",
    "record_told_method",
    "redeem_purchase",
    "refund_order",
    "remove_card",
    "return_of_purchase",
    "save_card",
    "set_default_card",
    "set_price",
    "start_card",
]
