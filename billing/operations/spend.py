"""Spend in: the one way in which payments and reversals are recorded, whatever the door (DESIGN: A batch is the unit).

Payments that nothing else in the batch touches are judged and inserted as one set. What hangs together with a reversal
is judged in order by `billing.judgement`, and written as a set again.
"""

import json
from collections.abc import Sequence
from csv import writer
from dataclasses import dataclass, replace
from datetime import datetime
from io import StringIO
from typing import Any, NamedTuple

from django.db import connection, transaction

from accounts.facts import Refusal, Tally
from accounts.models import ImportRun, ParkedRow
from accounts.operations import POISON, advance_run, park_facts, sift_poison
from accounts.retries import retried
from billing.judgement import Fact, Judge, Judgement, PaymentState
from billing.models import SpendBatch
from billing.operations import spend_sql as sql
from billing.reference_rates import WITHOUT_CENTS
from billing.signals import spend_recorded

REFUSALS = {
    "id": "an id is empty, longer than 100 characters or holds a control character",
    "amount": "the amount is not a plain decimal above zero with at most as many places as its currency has",
    "type": "the type is none of payment, refund, chargeback, chargeback_reversal",
    "time": "the time is not RFC 3339 with an offset, lies before the account registered, or in the future",
    "conflict": "the id is known with other content",
    "currency": "the currency is unknown, not the payment's, or has no exchange rate of the seven days before",
    "account": "the account is unknown, or not the payment's",
    "product": "the product is unknown",
    "exceeds": "the amount is above what is left of the payment",
}


class SpendFact(NamedTuple):
    """One row of spend as it came, in raw text; `line` says where it stood and rises from row to row."""

    line: int
    event_id: str
    account_id: str
    type: str
    product: str
    currency: str
    amount: str
    occurred_at: str
    payment_id: str

    @property
    def id(self) -> str:
        return self.event_id

    @property
    def fact(self) -> dict[str, str]:
        return {name: value for name, value in self._asdict().items() if name != "line"}


Poison = tuple[SpendFact, Exception]


@dataclass(frozen=True)
class Receipt:
    """What became of a batch. With a run, `tally` is what it adds to the run's: a reversal of an earlier chunk that was
    waiting and is no more counts minus one there."""

    batch_id: int
    tally: Tally
    refusals: list[Refusal]


class _LostRaceError(Exception):
    """Another batch has recorded one of our payments since we judged it: judge again."""


@retried
def record_spend(
    *,
    source: str,
    facts: Sequence[SpendFact],
    now: datetime,
    run: ImportRun | None = None,
    lines_done: int | None = None,
) -> Receipt:
    """Record a batch of spend, in one transaction, and say what became of each fact (TERMS: Facts that are refused).

    `source` is the system that issued the ids, never the door. With `run`, the run moves on to `lines_done` in the same
    transaction. Locks the ids' advisory keys in key order. Refusals are returned, not raised; a fact that fails by
    itself is parked, and refused as `parked`.
    """

    def record(some: Sequence[SpendFact], poison: Sequence[Poison] = (), *, of_run: ImportRun | None = None) -> Receipt:
        while True:
            try:
                with transaction.atomic():
                    return _record(source, some, poison, now, of_run, lines_done)
            except _LostRaceError:
                continue

    try:
        return record(facts, of_run=run)
    except POISON:
        sound, poison = sift_poison(rows=facts, rehearse=record)
    return record(sound, poison, of_run=run)


def _record(
    source: str,
    facts: Sequence[SpendFact],
    poison: Sequence[Poison],
    now: datetime,
    run: ImportRun | None,
    lines_done: int | None,
) -> Receipt:
    batch = SpendBatch.objects.create(source=source, received_at=now, run=run)
    with connection.cursor() as cursor:
        _stage(cursor, facts)
        cursor.execute(sql.LOCK_IDS, {"source": source})
        cursor.fetchall()
        cursor.execute(sql.JUDGE, {"source": source, "now": now, "whole": list(WITHOUT_CENTS)})
        tangled = _judge_tangled(cursor, source)
        _insert_payments(cursor, source, batch, tangled)
        _insert_reversals(cursor, source, batch, tangled)
        _keep_waiting(cursor, source, batch, run, tangled, facts)
        parked = park_facts(
            kind=ParkedRow.Kind.SPEND, source=source, sound=[fact.id for fact in facts], poison=poison, now=now
        )
        receipt = _receipt(cursor, batch, run, tangled, facts, parked)
        cursor.execute(sql.CLEAR)
    if run is not None:
        advance_run(run=run, lines_done=lines_done or 0, tally=receipt.tally, refusals=receipt.refusals)
    return receipt


def _stage(cursor: Any, facts: Sequence[SpendFact]) -> None:
    """Copy the raw facts into a temporary table. A NUL, which text cannot hold, becomes another control character."""
    rows = StringIO()
    writer(rows).writerows([[str(cell).replace("\0", "\1") for cell in fact] for fact in facts])
    rows.seek(0)
    cursor.execute(sql.STAGE)
    cursor.copy_expert(sql.COPY, rows)


@dataclass(frozen=True)
class _Tangled:
    """The facts that hang together, judged; and the reversals that had waited before, by their pk."""

    judgement: Judgement
    waited: dict[int, tuple[int | None, int | None, dict[str, str]]]


def _judge_tangled(cursor: Any, source: str) -> _Tangled:
    cursor.execute(sql.TANGLED)
    facts = [Fact(*row) for row in cursor.fetchall()]
    if not facts:
        return _Tangled(Judgement(), {})
    ids = list({name for fact in facts for name in (fact.event_id, fact.payment_id) if name})
    parameters = {"source": source, "ids": ids}
    cursor.execute(sql.WAITING, parameters)
    waiting, waited = [], {}
    for pk, run_id, line, raw, *content in cursor.fetchall():
        waiting.append(replace(Fact(*content), waiting_id=pk))
        waited[pk] = (run_id, line, json.loads(raw))
    cursor.execute(sql.KNOWN, parameters)
    known = {fact.event_id: fact.content for fact in (Fact(*row) for row in cursor.fetchall())}
    cursor.execute(sql.PAYMENTS, parameters)
    payments = {event_id: PaymentState(*state) for event_id, *state in cursor.fetchall()}
    return _Tangled(Judge(known=known, payments=payments, waiting=waiting).judge(facts), waited)


def _insert_payments(cursor: Any, source: str, batch: SpendBatch, tangled: _Tangled) -> None:
    """Insert all accepted payments in order of their ids; where another batch was faster, judge again."""
    places = [fact.place for fact in tangled.judgement.accepted if fact.type == "payment"]
    if places:
        cursor.execute(sql.ACCEPT_TANGLED, {"places": places})
    cursor.execute(sql.INSERT_PAYMENTS, {"source": source, "batch": batch.pk})
    inserted = cursor.rowcount
    cursor.execute(sql.COUNT_VERDICTS)
    if inserted != dict(cursor.fetchall()).get("accepted", 0):
        raise _LostRaceError


def _insert_reversals(cursor: Any, source: str, batch: SpendBatch, tangled: _Tangled) -> None:
    reversals = [fact for fact in tangled.judgement.accepted if fact.type != "payment"]
    if reversals:
        cursor.execute(
            sql.INSERT_REVERSALS,
            {
                "source": source,
                "batch": batch.pk,
                "ids": [fact.event_id for fact in reversals],
                "payments": [fact.payment_id for fact in reversals],
                "types": [fact.type for fact in reversals],
                "amounts": [fact.amount for fact in reversals],
                "times": [fact.occurred_at for fact in reversals],
            },
        )
        if cursor.rowcount != len(reversals):
            raise _LostRaceError


def _keep_waiting(
    cursor: Any,
    source: str,
    batch: SpendBatch,
    run: ImportRun | None,
    tangled: _Tangled,
    facts: Sequence[SpendFact],
) -> None:
    judgement = tangled.judgement
    done = [fact.waiting_id for fact in judgement.accepted if fact.waiting_id]
    done += [fact.waiting_id for fact, _ in judgement.refused if fact.waiting_id]
    if done:
        cursor.execute(sql.STOP_WAITING, {"ids": done})
    if judgement.waiting:
        parameters = {
            "source": source,
            "batch": batch.pk,
            "run": run.pk if run else None,
            "places": [fact.place for fact in judgement.waiting],
        }
        cursor.execute(sql.KEEP_WAITING, parameters)


def _receipt(
    cursor: Any,
    batch: SpendBatch,
    run: ImportRun | None,
    tangled: _Tangled,
    facts: Sequence[SpendFact],
    parked: Sequence[Refusal],
) -> Receipt:
    """Count every row of the batch once, store the counts, and tell the app above after commit."""
    judgement, by_line = tangled.judgement, {fact.line: fact for fact in facts}
    cursor.execute(sql.COUNT_VERDICTS)
    verdicts = dict(cursor.fetchall())
    cursor.execute(sql.REFUSED)
    refusals = [_refusal(line, code, by_line[line].fact) for line, code in cursor.fetchall()]
    refusals += [_refusal(fact.place, code, by_line[fact.place].fact) for fact, code in judgement.refused if fact.place]
    refusals += parked
    arrived = [fact for fact in judgement.accepted if fact.place is not None and fact.type != "payment"]
    tally = Tally(
        accepted=verdicts.get("accepted", 0) + len(arrived),
        waiting=len(judgement.waiting),
        duplicate=verdicts.get("duplicate", 0) + len(judgement.duplicates),
        refused=len(refusals),
    )
    late, late_refusals = _late(run, tangled)
    refusals = sorted(refusals, key=lambda refusal: refusal.line or 0) + late_refusals
    _store(batch, tally, refused=len(refusals), recorded=bool(judgement.accepted) or tally.accepted > 0)
    return Receipt(batch.pk, tally + late, refusals)


def _late(run: ImportRun | None, tangled: _Tangled) -> tuple[Tally, list[Refusal]]:
    """Return what the reversals that had waited before add: one of this run was counted as waiting, and is no more."""
    own_run = run.pk if run else None
    late, refusals = Tally(), []
    for fact in tangled.judgement.accepted:
        if fact.waiting_id and own_run and tangled.waited[fact.waiting_id][0] == own_run:
            late += Tally(accepted=1, waiting=-1)
    for fact, code in tangled.judgement.refused:
        if fact.waiting_id:
            run_id, line, raw = tangled.waited[fact.waiting_id]
            ours = own_run is not None and run_id == own_run
            late += Tally(refused=1, waiting=-1 if ours else 0)
            refusals.append(_refusal(line if ours else None, code, raw))
    return late, refusals


def _refusal(line: int | None, code: str, fact: dict[str, str]) -> Refusal:
    return Refusal(line, code, REFUSALS[code], fact)


def _store(batch: SpendBatch, tally: Tally, *, refused: int, recorded: bool) -> None:
    """Store the counts; a batch that recorded nothing has nothing to track."""
    batch.accepted, batch.waiting, batch.duplicate, batch.refused = (
        tally.accepted,
        tally.waiting,
        tally.duplicate,
        refused,
    )
    if recorded:
        transaction.on_commit(lambda: spend_recorded.send(sender=SpendBatch, batch_id=batch.pk), robust=False)
    else:
        batch.applied_at = batch.received_at
    batch.save(update_fields=["accepted", "waiting", "duplicate", "refused", "applied_at"])
