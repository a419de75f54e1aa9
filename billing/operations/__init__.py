"""Every write of billing."""

from billing.operations.exchange_rates import keep_rates
from billing.operations.spend import Receipt, SpendFact, record_spend

__all__ = ["Receipt", "SpendFact", "keep_rates", "record_spend"]
