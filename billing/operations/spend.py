"""Spend in: the one way in which payments and reversals are recorded, whatever the door (DESIGN: A batch is the unit).

Payments that nothing else in the batch touches are judged and inserted as one set. What hangs together with a reversal
is judged in order by `billing.judgement`, and written as a set again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


# A fact at hand, or the pk of a reversal that waits for one.
Row = SpendFact | int
Poison = tuple[Row, Exception]


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
    itself is parked, and refused as `parked`, and so is a reversal that waited for it.
    """

    def record(
        some: Sequence[SpendFact],
        poison: Sequence[Poison] = (),
        *,
        without: Sequence[int] = (),
        of_run: ImportRun | None = None,
    ) -> Receipt:
        while True:
            try:
                with transaction.atomic():
                    return _record(source, some, poison, without, now, of_run, lines_done)
            except _LostRaceError:
                continue

    try:
        return record(facts, of_run=run)
    except POISON:
        rows = _in_order_of_effect(source, facts, now)

    def rehearse(some: Sequence[Row]) -> None:
        record(_facts(some), without=[row for row in rows if isinstance(row, int) and row not in some])

    sound, poison = sift_poison(rows=rows, rehearse=rehearse)
    return record(_facts(sound), poison, of_run=run)


def _facts(rows: Sequence[Row]) -> list[SpendFact]:
    """Return the facts at hand among the rows, as they stood."""
    return sorted((row for row in rows if isinstance(row, SpendFact)), key=lambda fact: fact.line)


def _in_order_of_effect(source: str, facts: Sequence[SpendFact], now: datetime) -> list[Row]:
    """Put each reversal that waits, in the batch or since before, behind the fact that lets it in: none fails sooner.

    Where they cannot even be judged, they stay as they stand.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            accepted = _judge(cursor, source, facts, now).judgement.accepted
            transaction.set_rollback(True)
    except POISON:
        return list(facts)
    by_line, latest = {fact.line: fact for fact in facts}, 0
    turns: dict[Row, tuple[int, int]] = {fact: (fact.line, -1) for fact in facts}
    for turn, fact in enumerate(accepted):
        latest = max(latest, fact.place or 0)
        if fact.place is not None:
            turns[by_line[fact.place]] = latest, turn
        elif fact.waiting_id is not None:
            turns[fact.waiting_id] = latest, turn
    return sorted(turns, key=turns.__getitem__)


def _record(
    source: str,
    facts: Sequence[SpendFact],
    poison: Sequence[Poison],
    without: Sequence[int],
    now: datetime,
    run: ImportRun | None,
    lines_done: int | None,
) -> Receipt:
    batch = SpendBatch.objects.create(source=source, received_at=now, run=run)
    errors = {row: error for row, error in poison if isinstance(row, int)}
    with connection.cursor() as cursor:
        given_up = _give_up(cursor, [*errors, *without])
        tangled = _judge(cursor, source, facts, now)
        _insert_payments(cursor, source, batch, tangled)
        _insert_reversals(cursor, source, batch, tangled)
        _keep_waiting(cursor, source, batch, run, tangled, facts)
        parked = park_facts(
            kind=ParkedRow.Kind.SPEND,
            source=source,
            sound=[fact.id for fact in facts],
            poison=[(row, error) for row, error in poison if isinstance(row, SpendFact)],
            now=now,
        )
        late = _late(run, tangled) + _park_late(source, run, given_up, errors, now)
        receipt = _receipt(cursor, batch, tangled, facts, parked, late)
        cursor.execute(sql.CLEAR)
    if run is not None:
        advance_run(run=run, lines_done=lines_done or 0, tally=receipt.tally, refusals=receipt.refusals)
    return receipt


def _judge(cursor: Any, source: str, facts: Sequence[SpendFact], now: datetime) -> _Tangled:
    """Stage and judge the facts, under the locks of their ids."""
    _stage(cursor, facts)
    cursor.execute(sql.LOCK_IDS, {"source": source})
    cursor.fetchall()
    cursor.execute(sql.JUDGE, {"source": source, "now": now, "whole": list(WITHOUT_CENTS)})
    return _judge_tangled(cursor, source)


def _stage(cursor: Any, facts: Sequence[SpendFact]) -> None:
    """Copy the raw facts into a temporary table. A NUL, which text cannot hold, becomes another control character."""
    rows = StringIO()
    writer(rows).writerows([[str(cell).replace("\0", "\1") for cell in fact] for fact in facts])
    rows.seek(0)
    cursor.execute(sql.STAGE)
    cursor.copy_expert(sql.COPY, rows)


class _Waited(NamedTuple):
    """A reversal that had waited before: the run that brought it, its line there, and the fact as it came."""

    run_id: int | None
    line: int | None
    fact: dict[str, str]

    def line_in(self, run: ImportRun | None) -> int | None:
        """Return its line in the file of this run, if that is where it stood."""
        return self.line if run is not None and self.run_id == run.pk else None


@dataclass(frozen=True)
class _Tangled:
    """The facts that hang together, judged; and the reversals that had waited before, by their pk."""

    judgement: Judgement
    waited: dict[int, _Waited]


def _give_up(cursor: Any, waiting_ids: Sequence[int]) -> dict[int, _Waited]:
    """Let these reversals wait no longer, as if they had never come; return those that were there, by their pk."""
    if not waiting_ids:
        return {}
    cursor.execute(sql.GIVE_UP, {"ids": list(waiting_ids)})
    return {pk: _Waited(run_id, line, json.loads(raw)) for pk, run_id, line, raw in cursor.fetchall()}


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
        waited[pk] = _Waited(run_id, line, json.loads(raw))
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
    tangled: _Tangled,
    facts: Sequence[SpendFact],
    parked: Sequence[Refusal],
    late: _Late,
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
    refusals = sorted(refusals, key=lambda refusal: refusal.line or 0) + late.refusals
    _store(batch, tally, refused=len(refusals), recorded=bool(judgement.accepted) or tally.accepted > 0)
    return Receipt(batch.pk, tally + late.tally, refusals)


@dataclass(frozen=True)
class _Late:
    """What the reversals that had waited before add: one of this run was counted as waiting, and is no more."""

    tally: Tally
    refusals: list[Refusal]

    def __add__(self, other: _Late) -> _Late:
        return _Late(self.tally + other.tally, self.refusals + other.refusals)


def _late(run: ImportRun | None, tangled: _Tangled) -> _Late:
    """Return what became of those that were judged."""
    late, refusals = Tally(), []
    for fact in tangled.judgement.accepted:
        if fact.waiting_id and tangled.waited[fact.waiting_id].line_in(run):
            late += Tally(accepted=1, waiting=-1)
    for fact, code in tangled.judgement.refused:
        if fact.waiting_id:
            waited = tangled.waited[fact.waiting_id]
            late += _one_refused(waited, run)
            refusals.append(_refusal(waited.line_in(run), code, waited.fact))
    return _Late(late, refusals)


def _park_late(
    source: str, run: ImportRun | None, given_up: Mapping[int, _Waited], errors: Mapping[int, Exception], now: datetime
) -> _Late:
    """Park those that fail by themselves."""
    late, refusals = Tally(), []
    for pk, error in errors.items():
        if waited := given_up.get(pk):
            late += _one_refused(waited, run)
            poison = [(SpendFact(line=waited.line or 0, **waited.fact), error)]
            (refusal,) = park_facts(kind=ParkedRow.Kind.SPEND, source=source, sound=(), poison=poison, now=now)
            refusals.append(replace(refusal, line=waited.line_in(run)))
    return _Late(late, refusals)


def _one_refused(waited: _Waited, run: ImportRun | None) -> Tally:
    return Tally(refused=1, waiting=-1 if waited.line_in(run) else 0)


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
