"""Every write of billing."""

from billing.operations.exchange_rates import keep_rates
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
from billing.operations.spend import Receipt, SpendFact, record_spend
from billing.operations.told_method import ToldMethod, record_told_method

__all__ = [
    "Receipt",
    "SpendFact",
    "ToldMethod",
    "UnableToChangePaymentMethod",
    "add_card",
    "arrange_payment",
    "clear_file",
    "clear_payment_methods",
    "forget_cards",
    "keep_rates",
    "receive_stripe_event",
    "record_spend",
    "record_told_method",
    "remove_card",
    "save_card",
    "set_default_card",
    "start_card",
]
