"""Every write of billing."""

from billing.operations.spend import Receipt, SpendFact, record_spend

__all__ = ["Receipt", "SpendFact", "record_spend"]
