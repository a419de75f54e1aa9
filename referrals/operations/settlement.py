"""Settlement: what was granted is reconciled with what is earned, customer by customer, as sets (TERMS: Settlement).

A sweep finds the customers with something due, locks a chunk of their CreditAccounts and then their due Referrals, and
expires. In new statements it grants what is plain, and reads again what else is due, reckons it in
`referrals.reckoning`, and writes the outcome.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from django.db import connection, transaction

from accounts.arrays import bigints
from accounts.models import ParkedRow
from accounts.operations import MOST_AT_ONCE, Parked, clear_parked, do_all_but_poison, park
from accounts.retries import retried
from credits.operations import (
    DebtSettlement,
    NewCoupon,
    NewDebt,
    Revocation,
    expire_coupons,
    issue_coupons,
    lock_accounts,
    open_debts,
    revoke_amounts,
    settle_debts,
)
from referrals.operations import settlement_sql as sql
from referrals.operations.hooks import announce_settlement
from referrals.operations.mails import tell_of_settlement
from referrals.operations.plain_grants import grant_plain
from referrals.operations.tracking import track
from referrals.reckoning import DueReferral, OpenDebt, Outcome, RewardCoupon, reckon


class Due(Enum):
    """What makes a customer due for settlement; each has its statement."""

    EXPIRY = sql.DUE_EXPIRY
    CLAWBACK = sql.DUE_CLAWBACK
    PAYOUT = sql.DUE_PAYOUT
    BONUS = sql.DUE_BONUS


EVERYTHING = tuple(Due)


@dataclass(frozen=True)
class Settled:
    """What a settlement did: referrals tracked, coupons expired, rewards clawed back and granted, dollars granted."""

    tracked: int = 0
    customers: int = 0
    expired: int = 0
    clawed_back: int = 0
    granted: int = 0
    amount: Decimal = Decimal("0.00")

    def __add__(self, other: Settled) -> Settled:
        return Settled(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __str__(self) -> str:
        return " ".join(f"{name}={getattr(self, name)}" for name in self.__dataclass_fields__)


def settle(
    *, as_of: datetime, now: datetime, chunk_size: int = 1000, due: Sequence[Due] = EVERYTHING, wait: bool = True
) -> Settled:
    """Track, then settle as of `as_of` every customer with something `due`: all three steps, each customer as a whole.

    One transaction a chunk. A chunk that another sweep holds is skipped, and settled in a last pass that waits; without
    `wait` it is left to that sweep. A customer that fails by itself is parked, and tried again by the next sweep. Locks
    CreditAccounts, then Referrals, by pk (TERMS: Settlement of a customer).
    """
    settled = Settled(tracked=track(now=now, wait=wait))
    settled += _settle_parked(as_of, now)
    customers = _customers(due, as_of)
    skipped: list[int] = []
    for start in range(0, len(customers), chunk_size):
        chunk = customers[start : start + chunk_size]
        done, met = _settle_all_but_poison(chunk, as_of, now, skip_locked=True)
        settled += done
        skipped += [customer for customer in chunk if customer not in met]
    if wait:
        for start in range(0, len(skipped), chunk_size):
            chunk = skipped[start : start + chunk_size]
            settled += _settle_all_but_poison(chunk, as_of, now, skip_locked=False)[0]
    return settled


def _customers(due: Sequence[Due], as_of: datetime) -> list[int]:
    """Find those with something due, without those who are parked or have a friend who could not be tracked."""
    # Each by itself: ordered as one, they look due to the planner for so many that it walks all referrals.
    found = ", ".join(f"{one.name} AS MATERIALIZED ({one.value})" for one in due)
    wanted = " UNION ".join(f"TABLE {one.name}" for one in due)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {found} ({wanted}) EXCEPT ({sql.PARKED} UNION {sql.OF_UNTRACKED}) ORDER BY 1", {"at": as_of}
        )
        return [row[0] for row in cursor.fetchall()]


def _settle_parked(as_of: datetime, now: datetime) -> Settled:
    """Try those again who failed before, whatever they have due; so few at once that all of them may fail again."""
    with connection.cursor() as cursor:
        cursor.execute(f"{sql.PARKED} EXCEPT ({sql.OF_UNTRACKED}) ORDER BY 1")
        customers = [row[0] for row in cursor.fetchall()]
    settled = Settled()
    for start in range(0, len(customers), MOST_AT_ONCE):
        chunk = customers[start : start + MOST_AT_ONCE]
        settled += _settle_all_but_poison(chunk, as_of, now, skip_locked=True)[0]
    return settled


def _settle_all_but_poison(
    customers: Sequence[int], as_of: datetime, now: datetime, *, skip_locked: bool
) -> tuple[Settled, set[int]]:
    """Settle a chunk; park those who fail by themselves. Return what was done, and whose turn is over."""

    def settle_some(some: Sequence[int]) -> tuple[Settled, set[int]]:
        return _settle_chunk(list(some), as_of, now, skip_locked=skip_locked)

    results, failed = do_all_but_poison(rows=customers, work=settle_some)
    kind = ParkedRow.Kind.SETTLEMENT
    park(kind=kind, rows=[Parked(str(pk), error, customer_id=pk) for pk, error in failed], now=now)
    settled: set[int] = set().union(*(locked for _, locked in results))
    clear_parked(kind=kind, keys=[str(pk) for pk in settled], now=now)
    return sum((done for done, _ in results), Settled()), settled.union(pk for pk, _ in failed)


@retried
@transaction.atomic
def _settle_chunk(
    customers: list[int], as_of: datetime, now: datetime, *, skip_locked: bool
) -> tuple[Settled, set[int]]:
    """Settle those of the customers whose lock can be had; return what was done, and whose locks were had."""
    locked = lock_accounts(customer_ids=customers, skip_locked=skip_locked)
    if not locked:
        return Settled(), set()
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK_DUE_REFERRALS, {"customers": bigints(locked), "at": as_of})
        due = [row[0] for row in cursor.fetchall()]
    expired = expire_coupons(customer_ids=locked, at=as_of, now=now)
    done = Settled(customers=len(locked), expired=expired)
    if due:
        plain = grant_plain(customer_ids=locked, referral_ids=due, as_of=as_of, now=now)
        done += Settled(granted=plain.rewards, amount=plain.amount)
        if left := set(due).difference(plain.referrals):
            done += _settle_reckoned(left, as_of, now)
        if done.granted or done.clawed_back:
            tell_of_settlement(customer_ids=locked, referral_ids=due, as_of=as_of, now=now)
            announce_settlement(referral_ids=due, as_of=as_of, now=now)
    return done, set(locked)


def _settle_reckoned(referral_ids: Collection[int], as_of: datetime, now: datetime) -> Settled:
    """Claw back and grant what is due of these referrals: those of customers who are not plain, and those stopped."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DUE_REFERRALS, {"referrals": bigints(referral_ids), "at": as_of})
        referrals = [DueReferral(*row) for row in cursor.fetchall()]
        outcome = reckon(
            referrals,
            coupons=_coupons(cursor, referrals),
            debts=_debts(cursor, referrals),
            as_of=as_of,
        )
    _write(outcome, as_of, now)
    amount = sum((grant.amount for grant in outcome.grants), Decimal("0.00"))
    return Settled(clawed_back=len(outcome.clawbacks), granted=len(outcome.grants), amount=amount)


def _coupons(cursor: Any, referrals: Sequence[DueReferral]) -> dict[tuple[int, str], list[RewardCoupon]]:
    """Return the coupons of overpaid rewards, newest first, by friend and kind."""
    coupons: defaultdict[tuple[int, str], list[RewardCoupon]] = defaultdict(list)
    friends = [referral.friend_id for referral in referrals if referral.is_overpaid]
    if friends:
        cursor.execute(sql.COUPONS_OF_REWARDS, {"friends": bigints(friends)})
        for friend_id, kind, *coupon in cursor.fetchall():
            coupons[friend_id, kind].append(RewardCoupon(*coupon))
    return coupons


def _debts(cursor: Any, referrals: Sequence[DueReferral]) -> dict[int, list[OpenDebt]]:
    """Return the open debts of the referrers, oldest first."""
    debts: defaultdict[int, list[OpenDebt]] = defaultdict(list)
    if referrals:
        cursor.execute(sql.OPEN_DEBTS, {"customers": bigints({referral.referrer_id for referral in referrals})})
        for customer_id, *debt in cursor.fetchall():
            debts[customer_id].append(OpenDebt(*debt))
    return debts


def _write(outcome: Outcome, as_of: datetime, now: datetime) -> None:
    _write_clawbacks(outcome, as_of, now)
    _write_grants(outcome, as_of, now)
    if outcome.positions:
        names = ("referrals", "payout_granted", "payout_let_go", "bonus_granted", "bonus_let_go")
        rows = [(referral_id, *position) for referral_id, position in outcome.positions.items()]
        _execute(sql.MOVE_POSITIONS, names, rows)


def _write_clawbacks(outcome: Outcome, as_of: datetime, now: datetime) -> None:
    if not outcome.clawbacks:
        return
    revocations = [(claw.source, one) for claw in outcome.clawbacks for one in claw.revocations]
    revoke_amounts(
        revocations=[Revocation(*one) for _, one in revocations],
        references=[source for source, _ in revocations],
        at=as_of,
        now=now,
    )
    open_debts(
        debts=[
            NewDebt(claw.referral.referrer_id, claw.referral.friend_id, claw.kind, claw.source, claw.taken.debt)
            for claw in outcome.clawbacks
            if claw.taken.debt
        ],
        at=as_of,
        now=now,
    )
    names = (
        "referrals", "kinds", "ns", "revoked", "let_go", "debts", "earned", "qualifying", "in_window", "refused",
    )  # fmt: skip
    _execute(sql.RECORD_CLAWBACKS, names, [claw.row for claw in outcome.clawbacks], at=as_of, now=now)


def _write_grants(outcome: Outcome, as_of: datetime, now: datetime) -> None:
    if not outcome.grants:
        return
    issue_coupons(coupons=[NewCoupon(*grant.coupon) for grant in outcome.grants if grant.coupon], now=now)
    settle_debts(
        settlements=[
            DebtSettlement(source, amount, grant.source)
            for grant in outcome.grants
            for source, amount in grant.settlements
        ],
        at=as_of,
        now=now,
    )
    names = ("referrals", "kinds", "ns", "amounts", "settled", "sources", "earned", "qualifying", "in_window")
    _execute(sql.RECORD_REWARDS, names, [grant.row for grant in outcome.grants], at=as_of, now=now)


def _execute(statement: str, names: Sequence[str], rows: Sequence[tuple[object, ...]], **more: Any) -> None:
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(statement, {**dict(zip(names, columns, strict=True)), **more})
