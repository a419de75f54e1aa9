"""How facts about spend that hang together are judged: payments, their reversals, and reversals that wait.

Pure: no Django, no clock, no database. Facts are judged in the order in which they stand, as if each came alone (TERMS:
Facts that are refused). A caller gives every fact, payment and waiting reversal that the facts at hand may touch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

PAYMENT = "payment"
CHARGEBACK = "chargeback"
CHARGEBACK_REVERSAL = "chargeback_reversal"


@dataclass(frozen=True)
class Fact:
    """One payment or reversal, well-formed, in its own currency.

    `code` is the first check that it fails by itself, if any: for a payment any check after `conflict`; for a reversal
    `currency` (unknown), `account` (unknown) or `time` (in the future). `place` is its row in the batch at hand; a
    reversal that has waited since before has none, and is known by `waiting_id`.
    """

    event_id: str
    type: str
    account_id: str
    product: str
    currency: str
    amount: Decimal
    occurred_at: datetime
    payment_id: str
    code: str | None = None
    place: int | None = None
    waiting_id: int | None = None

    @property
    def content(self) -> tuple[object, ...]:
        """What two facts with one id must have in common; what is not read is not compared."""
        target = self.product if self.type == PAYMENT else self.payment_id
        return (self.type, self.account_id, target, self.currency, self.amount, self.occurred_at)


@dataclass
class PaymentState:
    """A recorded payment and what came back of it, in its own currency."""

    account_id: str
    currency: str
    amount: Decimal
    refunded: Decimal = Decimal(0)
    charged_back: Decimal = Decimal(0)
    reversed: Decimal = Decimal(0)

    @property
    def net(self) -> Decimal:
        return self.amount - self.refunded - self.charged_back + self.reversed


@dataclass
class Judgement:
    """What becomes of the facts: who is recorded, who waits, who is known already, who is refused and why."""

    accepted: list[Fact] = field(default_factory=list)
    waiting: list[Fact] = field(default_factory=list)
    duplicates: list[Fact] = field(default_factory=list)
    refused: list[tuple[Fact, str]] = field(default_factory=list)


class Judge:
    """Judges facts one after the other, against what is known before the first."""

    def __init__(
        self, *, known: dict[str, tuple[object, ...]], payments: dict[str, PaymentState], waiting: Iterable[Fact]
    ) -> None:
        self._known = dict(known)
        self._payments = payments
        self._waiting: defaultdict[str, list[Fact]] = defaultdict(list)
        for reversal in waiting:
            self._known[reversal.event_id] = reversal.content
            self._waiting[reversal.payment_id].append(reversal)
        self._judgement = Judgement()

    def judge(self, facts: Iterable[Fact]) -> Judgement:
        for fact in facts:
            self._judge_arrival(fact)
        still_waiting = [fact for waiting in self._waiting.values() for fact in waiting if fact.place is not None]
        self._judgement.waiting = sorted(still_waiting, key=lambda fact: fact.place or 0)
        return self._judgement

    def _judge_arrival(self, fact: Fact) -> None:
        known = self._known.get(fact.event_id)
        if known is not None:
            self._refuse(fact, "conflict") if known != fact.content else self._judgement.duplicates.append(fact)
        elif code := self._fault(fact):
            self._refuse(fact, code)
        elif self._must_wait(fact):
            self._known[fact.event_id] = fact.content
            self._waiting[fact.payment_id].append(fact)
        else:
            self._record(fact)
            self._retry(fact.event_id if fact.type == PAYMENT else fact.payment_id)

    def _fault(self, fact: Fact) -> str | None:
        payment = self._payments.get(fact.payment_id) if fact.type != PAYMENT else None
        if payment is None:
            return fact.code
        if fact.code == "currency" or fact.currency != payment.currency:
            return "currency"
        if fact.code == "account" or fact.account_id != payment.account_id:
            return "account"
        if fact.code:
            return fact.code
        if fact.type != CHARGEBACK_REVERSAL and fact.amount > payment.net:
            return "exceeds"
        return None

    def _must_wait(self, fact: Fact) -> bool:
        if fact.type == PAYMENT:
            return False
        payment = self._payments.get(fact.payment_id)
        if payment is None:
            return True
        return fact.type == CHARGEBACK_REVERSAL and fact.amount > payment.charged_back - payment.reversed

    def _record(self, fact: Fact) -> None:
        self._known[fact.event_id] = fact.content
        self._judgement.accepted.append(fact)
        if fact.type == PAYMENT:
            self._payments[fact.event_id] = PaymentState(fact.account_id, fact.currency, fact.amount)
            return
        payment = self._payments[fact.payment_id]
        if fact.type == CHARGEBACK_REVERSAL:
            payment.reversed += fact.amount
        elif fact.type == CHARGEBACK:
            payment.charged_back += fact.amount
        else:
            payment.refunded += fact.amount

    def _refuse(self, fact: Fact, code: str) -> None:
        self._judgement.refused.append((fact, code))

    def _retry(self, payment_id: str) -> None:
        """Try what waits for this payment, in whole passes, until a pass applies none."""
        applied = True
        while applied and self._waiting.get(payment_id):
            applied = False
            in_order, self._waiting[payment_id] = self._waiting[payment_id], []
            for fact in in_order:
                if code := self._fault(fact):
                    del self._known[fact.event_id]
                    self._refuse(fact, code)
                elif self._must_wait(fact):
                    self._waiting[payment_id].append(fact)
                else:
                    self._record(fact)
                    applied = True
