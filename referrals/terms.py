"""The formulas of TERMS.md, one function each: no Django, no clock, no database. Money is in US dollars."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

CENT = Decimal("0.01")
ZERO = Decimal("0.00")


class Terms(Protocol):
    """The numbers of one version that the formulas need: dollars, and days of 24 hours."""

    @property
    def payout(self) -> Decimal: ...
    @property
    def qualifying_threshold(self) -> Decimal: ...
    @property
    def payout_delay_days(self) -> int: ...
    @property
    def bonus_rate(self) -> Decimal: ...
    @property
    def bonus_window_days(self) -> int: ...
    @property
    def bonus_delay_days(self) -> int: ...
    @property
    def cap_per_friend(self) -> Decimal: ...


@dataclass(frozen=True)
class Payment:
    """A qualifying payment: its cash part, and what is left of it after its reversals."""

    event_id: str
    occurred_at: datetime
    net: Decimal


@dataclass(frozen=True)
class Spend:
    """What a friend's qualifying payments come to (TERMS: What counts as spend)."""

    qualifying: Decimal
    window: Decimal
    qualified_at: datetime | None


def net(amount: Decimal, *, refunds: Decimal, chargebacks: Decimal, reversed_chargebacks: Decimal) -> Decimal:
    """Return what is left of a payment (TERMS: What counts as spend)."""
    return amount - refunds - chargebacks + reversed_chargebacks


def spend(payments: Iterable[Payment], *, registered_at: datetime, terms: Terms) -> Spend:
    """Return the sums over `payments`, in whatever order they are given (TERMS: What counts as spend)."""
    in_order = sorted(payments, key=lambda payment: (payment.occurred_at, payment.event_id))
    window_ends_at = registered_at + timedelta(days=terms.bonus_window_days)
    running, in_window, qualified_at = ZERO, ZERO, None
    for payment in in_order:
        running += payment.net
        if payment.occurred_at < window_ends_at:
            in_window += payment.net
        if qualified_at is None and running >= terms.qualifying_threshold:
            qualified_at = payment.occurred_at
    return Spend(running, in_window, qualified_at)


def payout_earned(spend: Spend, terms: Terms) -> Decimal:
    """Return the payout that `spend` earns (TERMS: What the referrer earns, per friend)."""
    return terms.payout if spend.qualifying >= terms.qualifying_threshold else ZERO


def bonus_earned(spend: Spend, terms: Terms) -> Decimal:
    """Return the bonus that `spend` earns, half up to the cent (TERMS: What the referrer earns, per friend)."""
    if spend.qualifying < terms.qualifying_threshold:
        return ZERO
    above = max(ZERO, spend.window - terms.qualifying_threshold)
    share = (terms.bonus_rate * above).quantize(CENT, rounding=ROUND_HALF_UP)
    return min(share, terms.cap_per_friend - terms.payout)


def payout_due_at(spend: Spend, terms: Terms) -> datetime | None:
    """Return when the payout is due; none if the friend has not qualified (TERMS: What the referrer earns)."""
    return spend.qualified_at + timedelta(days=terms.payout_delay_days) if spend.qualified_at else None


def bonus_due_at(registered_at: datetime, terms: Terms) -> datetime:
    """Return when the bonus is due, whether or not there is one (TERMS: What the referrer earns)."""
    return registered_at + timedelta(days=terms.bonus_window_days + terms.bonus_delay_days)


@dataclass(frozen=True)
class TakenBack:
    """How an overpaid reward is taken back (TERMS: Settlement, 2)."""

    revoked: Decimal
    let_go: Decimal
    debt: Decimal


def claw_back(
    *, granted: Decimal, let_go: Decimal, earned: Decimal, left: Decimal, expired: Decimal
) -> TakenBack | None:
    """Return what becomes of a reward granted above what is earned; none if it is not.

    `left` and `expired` are what is left and what expired unused on the reward's coupons (TERMS: Settlement, 2).
    """
    overpaid = granted - let_go - earned
    if overpaid <= 0:
        return None
    revoked = min(overpaid, left)
    lapsed = min(overpaid - revoked, expired - let_go)
    return TakenBack(revoked, lapsed, overpaid - revoked - lapsed)
