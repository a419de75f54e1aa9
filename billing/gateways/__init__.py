"""Where cards are kept: two gateways behind one small interface. Card data is theirs; we keep what they tell of it."""

from billing.gateways.interface import (
    Card,
    Gateway,
    News,
    ToldDispute,
    UnableToCharge,
    UnableToReachGateway,
    UnableToRefund,
    UnableToTakeCard,
    UnableToTrustEvent,
    outside_transactions,
)
from billing.gateways.registry import can_charge, gateway_in_use, gateway_named

__all__ = [
    "Card",
    "Gateway",
    "News",
    "ToldDispute",
    "UnableToCharge",
    "UnableToReachGateway",
    "UnableToRefund",
    "UnableToTakeCard",
    "UnableToTrustEvent",
    "can_charge",
    "gateway_in_use",
    "gateway_named",
    "outside_transactions",
]
