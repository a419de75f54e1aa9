"""Short words for the facts that tests are made of; they go through the same operations as any door."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

from accounts.models import User
from billing.operations import Receipt, SpendFact, record_spend
from referrals.operations import admit

NOW = datetime(2026, 11, 1, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)

_lines = count(1)


def day(month: int, day_of_month: int, year: int = 2026) -> datetime:
    return datetime(year, month, day_of_month, tzinfo=UTC)


def register(
    name: str, *, referred_by: User | None = None, at: datetime = JANUARY, account_type: str = "individual"
) -> User:
    """Register an account as the billing system's file would."""
    user = User.objects.create(
        account_id=name,
        email=f"{name.lower()}@example.com",
        account_type=account_type,
        created_at=at,
        registered_at=at,
        signup_attribution={"referred_by": referred_by.account_id} if referred_by else {},
    )
    admit(user_ids=[user.pk], now=NOW)
    return user


def fact(
    of: User | str,
    event_id: str,
    amount: str,
    at: datetime | str = JANUARY,
    *,
    kind: str = "payment",
    product: str = "ecs",
    currency: str = "USD",
    payment: str = "",
) -> SpendFact:
    account_id = of if isinstance(of, str) else of.account_id
    occurred_at = at if isinstance(at, str) else at.isoformat()
    return SpendFact(
        next(_lines), event_id, account_id, kind, product if kind == "payment" else "", currency, amount, occurred_at,
        payment,
    )  # fmt: skip


def refund(of: User | str, event_id: str, amount: str, payment: str, at: datetime | str = NOW) -> SpendFact:
    return fact(of, event_id, amount, at, kind="refund", payment=payment)


def chargeback(of: User | str, event_id: str, amount: str, payment: str, at: datetime | str = NOW) -> SpendFact:
    return fact(of, event_id, amount, at, kind="chargeback", payment=payment)


def dispute_won(of: User | str, event_id: str, amount: str, payment: str, at: datetime | str = NOW) -> SpendFact:
    return fact(of, event_id, amount, at, kind="chargeback_reversal", payment=payment)


def record(*facts: SpendFact, source: str = "billing", now: datetime = NOW) -> Receipt:
    return record_spend(source=source, facts=facts, now=now)


def codes(receipt: Receipt) -> list[str]:
    return [refusal.code for refusal in receipt.refusals]
