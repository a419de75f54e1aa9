"""Poison: what fails for one row only is set aside with its error, and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Protocol, TypeVar

from django.db import DataError, IntegrityError, InternalError, connection, transaction

from accounts.facts import Refusal
from accounts.retries import retried

Row = TypeVar("Row")
Result = TypeVar("Result")

POISON = (
    DataError, IntegrityError, InternalError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip
"""Errors that can lie in a row. A lost connection, a full disk or a statement that is wrong do not."""

MOST_AT_ONCE = 100
"""Where more rows of one chunk fail, it is not the rows: the error is raised."""

LONGEST_ERROR = 500

PARK = """
INSERT INTO accounts_parkedrow (kind, key, customer_id, fact, error, tries, parked_at, tried_at)
SELECT %(kind)s, key, customer_id, fact, error, 1, %(now)s, %(now)s
FROM unnest(%(keys)s::text[], %(customers)s::bigint[], %(facts)s::jsonb[], %(errors)s::text[])
    AS parked (key, customer_id, fact, error)
ORDER BY key COLLATE "C"
ON CONFLICT (kind, key) WHERE cleared_at IS NULL
DO UPDATE SET error = excluded.error, tries = accounts_parkedrow.tries + 1, tried_at = excluded.tried_at
"""

PARKED = "SELECT key FROM accounts_parkedrow WHERE kind = %(kind)s AND cleared_at IS NULL ORDER BY id"

CLEAR = """
UPDATE accounts_parkedrow SET cleared_at = %(now)s
WHERE kind = %(kind)s AND key = ANY(%(keys)s) AND cleared_at IS NULL
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parked:
    """A row to set aside: its key within its kind, the error, and the fact as it came or the pk of the customer."""

    key: str
    error: Exception
    customer_id: int | None = None
    fact: dict[str, str] | None = None


class RawFact(Protocol):
    """A fact as it came, in raw text: where it stood, its id, and its cells by name."""

    @property
    def line(self) -> int: ...

    @property
    def id(self) -> str: ...

    @property
    def fact(self) -> dict[str, str]: ...


def reason_of(error: Exception) -> str:
    """Say what went wrong in one line, without the values that Postgres adds: they can name a person."""
    diagnosis = getattr(error.__cause__, "diag", None)
    said = getattr(diagnosis, "message_primary", None) or str(error) or "no message"
    sqlstate = getattr(error.__cause__, "pgcode", None)
    return f"{type(error).__name__}{f' {sqlstate}' if sqlstate else ''}: {said}"[:LONGEST_ERROR]


@retried
def park(*, kind: str, rows: Sequence[Parked], now: datetime) -> None:
    """Set rows aside, in the caller's transaction if there is one; one that is parked already keeps its place."""
    by_key = {row.key: row for row in rows}
    for key, row in by_key.items():
        logger.error("Parked %s %s: %s", kind, key, reason_of(row.error))
    if by_key:
        _execute(
            PARK,
            kind=kind,
            keys=list(by_key),
            customers=[row.customer_id for row in by_key.values()],
            facts=[None if row.fact is None else dumps(row.fact) for row in by_key.values()],
            errors=[reason_of(row.error) for row in by_key.values()],
            now=now,
        )


def park_facts(
    *, kind: str, sound: Sequence[str], poison: Sequence[tuple[RawFact, Exception]], now: datetime, source: str = ""
) -> list[Refusal]:
    """Park the facts that failed by themselves, and clear the ids that have come again and did not.

    Return the refusals. In the caller's transaction. `source` is the system that issued the ids, where there are more.
    """
    clear_parked(kind=kind, keys=[f"{source} {name}".strip() for name in sound], now=now)
    rows = [Parked(f"{source} {fact.id}".strip(), error, fact=fact.fact) for fact, error in poison]
    park(kind=kind, rows=rows, now=now)
    message = "it cannot be recorded and is set aside for staff: "
    return [Refusal(fact.line, "parked", message + reason_of(error), fact.fact) for fact, error in poison]


def parked_keys(*, kind: str) -> list[str]:
    """Return the keys of what is parked, in the order in which it was."""
    with connection.cursor() as cursor:
        cursor.execute(PARKED, {"kind": kind})
        return [row[0] for row in cursor.fetchall()]


@retried
def clear_parked(*, kind: str, keys: Sequence[str], now: datetime) -> None:
    """Say of those that are parked that they went well, in the caller's transaction."""
    if keys and (parked := set(parked_keys(kind=kind)) & set(keys)):
        _execute(CLEAR, kind=kind, keys=list(parked), now=now)


def do_all_but_poison(
    *, rows: Sequence[Row], work: Callable[[Sequence[Row]], Result]
) -> tuple[list[Result], list[tuple[Row, Exception]]]:
    """Do work whose rows do not depend on one another, by halves where it fails; return the results and what failed.

    `work` is done whole or not at all: it opens a transaction, or a savepoint within the caller's.
    """
    results: list[Result] = []
    failed: list[tuple[Row, Exception]] = []

    def do(some: Sequence[Row]) -> None:
        try:
            results.append(work(some))
        except POISON as error:
            if len(some) > 1:
                do(some[: len(some) // 2])
                do(some[len(some) // 2 :])
                return
            failed.append((some[0], error))
            if len(failed) > MOST_AT_ONCE:
                raise

    do(rows)
    return results, failed


def sift_poison(
    *, rows: Sequence[Row], rehearse: Callable[[Sequence[Row]], object]
) -> tuple[list[Row], list[tuple[Row, Exception]]]:
    """Split rows that are judged in their order into those that go in together and those that fail.

    `rehearse` is undone whatever comes of it. The row that fails is the last of the shortest beginning that does.
    """
    failed: list[tuple[Row, Exception]] = []
    sound, begins_well, passing = list(rows), 0, 0
    while error := _error_of(rehearse, sound):
        fails = len(sound)
        while fails - begins_well > 1:
            middle = (begins_well + fails) // 2
            if _error_of(rehearse, sound[:middle]):
                fails = middle
            else:
                begins_well = middle
        # Once more: an error that passes must not cost a sound row.
        if confirmed := _error_of(rehearse, sound[:fails]):
            if not sound or len(failed) == MOST_AT_ONCE:
                raise confirmed
            failed.append((sound.pop(fails - 1), confirmed))
        elif (passing := passing + 1) > MOST_AT_ONCE:
            raise error
    return sound, failed


def _error_of(rehearse: Callable[[Sequence[Row]], object], rows: Sequence[Row]) -> Exception | None:
    try:
        with transaction.atomic():
            rehearse(rows)
            # What is checked at commit only is checked here too.
            _execute("SET CONSTRAINTS ALL IMMEDIATE")
            transaction.set_rollback(True)
    except POISON as error:
        return error
    return None


def _execute(statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
