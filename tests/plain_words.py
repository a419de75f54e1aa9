"""Short words for the facts of the plain reading."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.plain_reading import Outcome, Programme, Terms

NOW = datetime(2028, 1, 1, tzinfo=UTC)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
PRODUCTS = {"ecs": True, "rds": True, "cdn": False, "domain": False}


def on(day: int, month: int, year: int = 2026) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def account(account_id: str, referred_by: str = "", at: datetime = BEGIN, **changed: str) -> dict[str, str]:
    return {
        "account_id": account_id,
        "email": f"{account_id}@example.com",
        "account_type": "individual",
        "country": "DE",
        "registered_at": at.isoformat(),
        "referred_by": referred_by,
    } | changed


def payment(event_id: str, amount: str, at: datetime, product: str = "ecs", **changed: str) -> dict[str, str]:
    return {
        "event_id": event_id,
        "account_id": "bob",
        "type": "payment",
        "product": product,
        "currency": "USD",
        "amount": amount,
        "occurred_at": at.isoformat(),
        "payment_id": "",
    } | changed


def reversal(
    event_id: str, of: str, amount: str, kind: str = "refund", at: datetime = NOW, **changed: str
) -> dict[str, str]:
    return payment(event_id, amount, at, product="", type=kind, payment_id=of) | changed


def redemption(redemption_id: str, amount: str, at: datetime, account_id: str = "alice") -> dict[str, str]:
    return {
        "redemption_id": redemption_id,
        "account_id": account_id,
        "amount": amount,
        "occurred_at": at.isoformat(),
    }


def counts(outcome: Outcome) -> tuple[int, int, int, int]:
    return outcome.accepted, outcome.waiting, outcome.duplicate, outcome.refused


def codes(outcome: Outcome) -> list[tuple[int | None, str]]:
    return [(refusal.row, refusal.code) for refusal in outcome.refusals]


def programme_with(*rows: dict[str, str], terms: Sequence[Terms] = (Terms(),)) -> Programme:
    programme = Programme(terms, PRODUCTS)
    outcome = programme.import_accounts([account("alice"), account("bob", "alice")], NOW)
    assert counts(outcome) == (2, 0, 0, 0)
    spend(programme, *rows)
    return programme


def spend(programme: Programme, *rows: dict[str, str]) -> None:
    assert codes(programme.import_spend(rows, NOW)) == []


def bob(programme: Programme) -> dict[str, Any]:
    [row] = [row for row in programme.referrals() if row["friend_id"] == "bob"]
    return row


def rewards(programme: Programme) -> list[tuple[str, Decimal, Decimal]]:
    """(kind, amount, remaining) of the payout and bonus coupons in order of issue."""
    return [
        (coupon["kind"], coupon["amount"], coupon["remaining"]) for coupon in programme.coupons() if coupon["friend_id"]
    ]


def debts(programme: Programme) -> list[tuple[str, Decimal, Decimal]]:
    return [(debt["kind"], debt["amount"], debt["outstanding"]) for debt in programme.debts()]


def entries(programme: Programme, kind: str, account_id: str = "alice") -> list[tuple[str, Decimal, datetime]]:
    numbers = [number for number, coupon in enumerate(programme.coupons()) if coupon["kind"] == kind]
    return [
        (entry["type"], entry["amount"], entry["occurred_at"])
        for entry in programme.entries()
        if entry["coupon"] in numbers and entry["account_id"] == account_id
    ]


def usd(amount: str) -> Decimal:
    return Decimal(amount)


EXAMPLE_1 = (payment("p12", "12", on(5, 1)), payment("p9", "9", on(20, 1), "rds"))
