"""What settling a chunk of customers comes to, reckoned from what is due: no Django, no clock, no database.

Each customer as a whole: claw back, then grant; the expiry has gone before (TERMS: Settlement of a customer as of an
instant T). Money is in US dollars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from referrals.terms import ZERO, TakenBack, claw_back

PAYOUT = "payout"
BONUS = "bonus"
KINDS = (PAYOUT, BONUS)


class Position(NamedTuple):
    """TERMS' granted and let go of a referral's two rewards."""

    payout_granted: Decimal
    payout_let_go: Decimal
    bonus_granted: Decimal
    bonus_let_go: Decimal


@dataclass
class DueReferral:
    """A referral with something to claw back or to grant, as read under its lock.

    `stopped`: a hold is open, or the referrer is disqualified. `*_grants` and `*_clawbacks` count those before.
    """

    id: int
    referrer_id: int
    friend_id: int
    account_id: str
    registered_at: datetime
    payout_due_at: datetime | None
    bonus_due_at: datetime
    payout_earned: Decimal
    payout_granted: Decimal
    payout_let_go: Decimal
    bonus_earned: Decimal
    bonus_granted: Decimal
    bonus_let_go: Decimal
    stopped: bool
    refused: bool
    qualifying_spend: Decimal
    window_spend: Decimal
    credit_valid_days: int
    payout_grants: int
    bonus_grants: int
    payout_clawbacks: int
    bonus_clawbacks: int

    def earned(self, kind: str) -> Decimal:
        return self.payout_earned if kind == PAYOUT else self.bonus_earned

    def granted(self, kind: str) -> Decimal:
        return self.payout_granted if kind == PAYOUT else self.bonus_granted

    def let_go(self, kind: str) -> Decimal:
        return self.payout_let_go if kind == PAYOUT else self.bonus_let_go

    def due_at(self, kind: str) -> datetime | None:
        return self.payout_due_at if kind == PAYOUT else self.bonus_due_at

    def grants(self, kind: str) -> int:
        return self.payout_grants if kind == PAYOUT else self.bonus_grants

    def clawbacks(self, kind: str) -> int:
        return self.payout_clawbacks if kind == PAYOUT else self.bonus_clawbacks

    @property
    def is_overpaid(self) -> bool:
        return any(self.granted(kind) - self.let_go(kind) > self.earned(kind) for kind in KINDS)

    @property
    def position(self) -> Position:
        return Position(self.payout_granted, self.payout_let_go, self.bonus_granted, self.bonus_let_go)

    def is_due(self, kind: str, as_of: datetime) -> bool:
        due_at = self.due_at(kind)
        return not self.stopped and due_at is not None and due_at <= as_of and self.granted(kind) < self.earned(kind)

    def move(self, kind: str, *, granted: Decimal, let_go: Decimal = ZERO) -> None:
        if kind == PAYOUT:
            self.payout_granted += granted
            self.payout_let_go += let_go
        else:
            self.bonus_granted += granted
            self.bonus_let_go += let_go


class RewardCoupon(NamedTuple):
    """A coupon of an overpaid reward: what is left on it, and what of it expired unused."""

    id: int
    remaining: Decimal
    expired: Decimal


@dataclass
class OpenDebt:
    source: str
    outstanding: Decimal
    opened_at: datetime


@dataclass(frozen=True)
class Clawback:
    """A reward taken back in part or whole; `revocations` are (coupon, amount)."""

    referral: DueReferral
    kind: str
    n: int
    taken: TakenBack
    revocations: list[tuple[int, Decimal]]

    @property
    def source(self) -> str:
        return f"clawback:{self.kind}:{self.referral.id}:{self.n}"

    @property
    def row(self) -> tuple[object, ...]:
        referral, taken = self.referral, self.taken
        return (
            referral.id, self.kind, self.n, taken.revoked, taken.let_go, taken.debt, referral.earned(self.kind),
            referral.qualifying_spend, referral.window_spend, referral.refused,
        )  # fmt: skip


@dataclass(frozen=True)
class Grant:
    """A reward granted; `settlements` are (debt, amount), and a coupon is issued for the rest, if any."""

    referral: DueReferral
    kind: str
    n: int
    amount: Decimal
    settlements: list[tuple[str, Decimal]]
    issued_at: datetime

    @property
    def source(self) -> str:
        return f"{self.kind}:{self.referral.id}:{self.n}"

    @property
    def settled(self) -> Decimal:
        return sum((amount for _, amount in self.settlements), ZERO)

    @property
    def coupon(self) -> tuple[int, str, int, str, Decimal, datetime, datetime] | None:
        rest, referral = self.amount - self.settled, self.referral
        expires_at = self.issued_at + timedelta(days=referral.credit_valid_days)
        if not rest:
            return None
        return (referral.referrer_id, self.kind, referral.friend_id, self.source, rest, self.issued_at, expires_at)

    @property
    def row(self) -> tuple[object, ...]:
        referral = self.referral
        return (
            referral.id, self.kind, self.n, self.amount, self.settled, self.source, referral.earned(self.kind),
            referral.qualifying_spend, referral.window_spend,
        )  # fmt: skip


@dataclass
class Outcome:
    """All that a settlement of a chunk writes: clawbacks and grants in order, and where each referral then stands."""

    clawbacks: list[Clawback] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    positions: dict[int, Position] = field(default_factory=dict)


def reckon(
    referrals: Sequence[DueReferral],
    *,
    coupons: Mapping[tuple[int, str], Sequence[RewardCoupon]],
    debts: Mapping[int, list[OpenDebt]],
    as_of: datetime,
) -> Outcome:
    """Return what settling these customers' due referrals as of `as_of` comes to (TERMS: Settlement, 2 and 3)."""
    outcome = Outcome()
    by_referrer: defaultdict[int, list[DueReferral]] = defaultdict(list)
    for referral in referrals:
        by_referrer[referral.referrer_id].append(referral)
    for referrer_id, own in by_referrer.items():
        open_debts = list(debts.get(referrer_id, ()))
        _claw_back(own, coupons, open_debts, as_of, outcome)
        _grant(own, open_debts, as_of, outcome)
    return outcome


def _claw_back(
    referrals: list[DueReferral],
    coupons: Mapping[tuple[int, str], Sequence[RewardCoupon]],
    debts: list[OpenDebt],
    as_of: datetime,
    outcome: Outcome,
) -> None:
    """Take back what is overpaid: payouts, then bonuses, each in order of the friend's registration and account id."""
    for kind in KINDS:
        for referral in sorted(referrals, key=lambda one: (one.registered_at, one.account_id)):
            own = coupons.get((referral.friend_id, kind), ())
            taken = claw_back(
                granted=referral.granted(kind),
                let_go=referral.let_go(kind),
                earned=referral.earned(kind),
                left=sum((coupon.remaining for coupon in own), ZERO),
                expired=sum((coupon.expired for coupon in own), ZERO),
            )
            if taken is None:
                continue
            clawback = Clawback(referral, kind, referral.clawbacks(kind) + 1, taken, _revocations(own, taken.revoked))
            outcome.clawbacks.append(clawback)
            if taken.debt:
                debts.append(OpenDebt(clawback.source, taken.debt, as_of))
            referral.move(kind, granted=-taken.revoked - taken.debt, let_go=taken.let_go)
            outcome.positions[referral.id] = referral.position


def _revocations(newest_first: Sequence[RewardCoupon], amount: Decimal) -> list[tuple[int, Decimal]]:
    revocations = []
    for coupon in newest_first:
        part = min(coupon.remaining, amount)
        if part:
            revocations.append((coupon.id, part))
            amount -= part
    return revocations


def _grant(referrals: list[DueReferral], debts: list[OpenDebt], as_of: datetime, outcome: Outcome) -> None:
    """Grant what is due: payouts, then bonuses, each in order of due, the friend's registration and account id."""
    debts.sort(key=lambda debt: debt.opened_at)
    for kind in KINDS:
        due = [referral for referral in referrals if referral.is_due(kind, as_of)]
        for referral in sorted(due, key=lambda one: (one.due_at(kind), one.registered_at, one.account_id)):
            amount = referral.earned(kind) - referral.granted(kind)
            settlements = _settle(debts, amount)
            outcome.grants.append(Grant(referral, kind, referral.grants(kind) + 1, amount, settlements, as_of))
            referral.move(kind, granted=amount)
            outcome.positions[referral.id] = referral.position


def _settle(debts: list[OpenDebt], amount: Decimal) -> list[tuple[str, Decimal]]:
    """Settle open debts, oldest first, with up to `amount`."""
    settlements = []
    for debt in debts:
        part = min(debt.outstanding, amount)
        if part:
            settlements.append((debt.source, part))
            debt.outstanding -= part
            amount -= part
    return settlements
