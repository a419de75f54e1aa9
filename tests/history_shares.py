"""How often the random histories come to each thing that matters; run `python -m tests.history_shares`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.histories import BATCH, FIRST_TERMS, SECOND_TERMS, ZERO, Step, apply, histories, programme
from tests.plain_reading import Outcome, Programme


def happenings(steps: Sequence[Step]) -> set[str]:
    """What a history comes to, seen from outside: each step's state before and after it in the oracle."""
    seen: set[str] = set()
    known = programme()
    taken_back: set[tuple[str, str]] = set()
    won: set[tuple[str, str]] = set()
    for step in steps:
        before = _Sight(known)
        outcome = apply(known, step)
        after = _Sight(known)
        seen |= set(_seen_in_outcome(outcome, step, before, after))
        if step.kind == "settle":
            seen |= set(_seen_in_settlement(before, after, won))
        fallen = {reward for reward in before.granted if after.kept(reward) < before.kept(reward)}
        taken_back |= fallen
        winners = {account_id for account_id in after.won if after.won[account_id] > before.won[account_id]}
        won = (won | {reward for reward in taken_back if reward[0] in winners}) - fallen
        if any(coupon["kind"] == "welcome" and coupon["revoked"] > 0 for coupon in after.coupons):
            seen.add("welcome revoked")
        seen |= {f"status {friend['status']}" for friend in after.friends}
    return seen


class _Sight:
    """The state of the oracle at one moment."""

    def __init__(self, known: Programme) -> None:
        self.coupons = known.coupons()
        self.friends = known.referrals()
        self.debts = known.debts()
        self.waiting = set(known.waiting())
        self.recorded = known.recorded()
        self.granted: Counter[tuple[str, str]] = Counter()
        self.let_go: Counter[tuple[str, str]] = Counter()
        for friend in self.friends:
            for kind in ("payout", "bonus"):
                self.granted[friend["friend_id"], kind] = friend[f"{kind}_granted"]
                self.let_go[friend["friend_id"], kind] = friend[f"{kind}_let_go"]
        self.won: Counter[str] = Counter()
        for payment in known.payments():
            self.won[payment["account_id"]] += payment["won"]

    def kept(self, reward: tuple[str, str]) -> Decimal:
        return Decimal(self.granted[reward] - self.let_go[reward])

    def revoked(self) -> Decimal:
        return sum((coupon["revoked"] for coupon in self.coupons if coupon["friend_id"]), ZERO)

    def outstanding(self) -> list[Decimal]:
        return [debt["outstanding"] for debt in self.debts]


def _seen_in_outcome(outcome: Outcome | None, step: Step, before: _Sight, after: _Sight) -> Iterator[str]:
    if outcome is None:
        return
    yield from {f"{step.kind} refused {refusal.code}" for refusal in outcome.refusals}
    if outcome.duplicate:
        yield f"{step.kind} duplicate"
    if (before.waiting - after.waiting) & after.recorded:
        yield "waiting applied"
    if any(refusal.row is None for refusal in outcome.refusals):
        yield "waiting refused"


def _seen_in_settlement(before: _Sight, after: _Sight, won: set[tuple[str, str]]) -> Iterator[str]:
    risen = {reward for reward in after.granted if after.granted[reward] > before.granted[reward]}
    yield from {f"{kind} granted" for _, kind in risen}
    if risen & won:
        yield "dispute won regrant"
    if any(before.granted[reward] > 0 for reward in risen):
        yield "top-up"
    if after.revoked() > before.revoked():
        yield "clawback revoke"
    if any(after.let_go[reward] > before.let_go[reward] for reward in after.let_go):
        yield "let go"
    if len(after.debts) > len(before.debts):
        yield "debt"
    if any(left < owed for left, owed in zip(after.outstanding(), before.outstanding(), strict=False)):
        yield "debt settled by grant"
    if sum(coupon["expired"] for coupon in after.coupons) > sum(coupon["expired"] for coupon in before.coupons):
        yield "expiry"
    caps = {FIRST_TERMS.cap - FIRST_TERMS.payout, SECOND_TERMS.cap - SECOND_TERMS.payout}
    if any(kind == "bonus" and after.granted[friend_id, kind] in caps for friend_id, kind in risen):
        yield "cap"


def shares(n: int) -> dict[str, float]:
    """Of about `n` drawn histories, the percentage that comes to each thing, and the average number of steps.

    Drawn in batches of a seed each: Hypothesis dwells on what it has just drawn, so one batch alone is lopsided.
    """
    seen: Counter[str] = Counter()
    lengths: list[int] = []

    def look_at(steps: list[Step]) -> None:
        seen.update(happenings(steps))
        lengths.append(len(steps))

    for number in range((n + BATCH - 1) // BATCH):
        batch = settings(
            max_examples=min(n, BATCH),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(batch(given(histories())(look_at)))()
    found = {name: round(100 * times / len(lengths), 1) for name, times in seen.most_common()}
    return {"histories": len(lengths), "steps on average": round(sum(lengths) / len(lengths), 1)} | found


if __name__ == "__main__":
    for name, share in shares(int(sys.argv[1]) if len(sys.argv) > 1 else 500).items():
        sys.stdout.write(f"{share:8} {name}\n")
