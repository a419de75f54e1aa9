"""Races on real connections: jobs that run at once, where they meet, and what is taken out in a control."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any
from unittest.mock import patch

import pgtrigger
from django.db import connection, connections
from django.db.models import Model, QuerySet

from tests import pristine

LONGEST_WAIT = 30
"""Seconds, after which a race has gone wrong."""

WAITING = """
SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()
"""

SLOW_DOWN = """
CREATE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep({seconds}); RETURN new; END $$;
CREATE TRIGGER slow_down BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION slow_down()
"""
AT_FULL_SPEED = "DROP TRIGGER slow_down ON {table}; DROP FUNCTION slow_down()"

DEFINITION = """
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
       format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname)
FROM pg_constraint WHERE conname = %(name)s
UNION ALL
SELECT indexdef, format('DROP INDEX %%I', indexname) FROM pg_indexes
WHERE indexname = %(name)s AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = %(name)s)
"""


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs at once, each on a connection of its own; return what each returned or raised, in their order."""
    ends: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs), timeout=LONGEST_WAIT)

    def run(place: int, job: Callable[[], Any]) -> None:
        try:
            start.wait()
            ends[place] = job()
        except Exception as problem:  # noqa: BLE001 - the test looks at what was raised
            ends[place] = problem
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place, job), daemon=True) for place, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_WAIT)
    assert not any(thread.is_alive() for thread in threads), "They wait for each other."
    return ends


def names(ends: list[Any]) -> list[str]:
    """Return how the jobs ended, sorted: the code of a refusal, the name of an error, or "done"."""
    return sorted(
        str(getattr(end, "code", type(end).__name__)) if isinstance(end, Exception) else "done" for end in ends
    )


class Meeting:
    """A place that racers come to. Whoever arrives waits until every other one is there too, or waits for a lock.

    So a race without its lock is always lost, and one with its lock costs no time.
    """

    def __init__(self, parties: int = 2) -> None:
        self.parties = parties
        self._lock = threading.Lock()
        self._arrived = 0

    def arrive(self) -> None:
        with self._lock:
            self._arrived += 1
        until(lambda: self._arrived + waiting() >= self.parties)


def until(it_is_so: Callable[[], bool], *, within: float = LONGEST_WAIT) -> None:
    """Wait until something is so, at most so many seconds."""
    deadline = monotonic() + within
    while not it_is_so():
        assert monotonic() < deadline, "It does not come about."
        sleep(0.01)


def until_waiting(number: int) -> None:
    """Wait until so many connections wait for a lock."""
    until(lambda: waiting() >= number)


def waiting() -> int:
    """Return how many connections wait for a lock, as seen by another connection."""
    with outside() as cursor:
        cursor.execute(WAITING)
        return int(cursor.fetchone()[0])


@contextmanager
def outside() -> Iterator[Any]:
    """A connection of its own, outside any transaction."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


@contextmanager
def meeting_after(place: Any, name: str, meeting: Meeting) -> Iterator[None]:
    """Let everyone who has run this function meet before they go on."""
    function = getattr(place, name)

    def run(*args: Any, **options: Any) -> Any:
        outcome = function(*args, **options)
        meeting.arrive()
        return outcome

    with patch.object(place, name, run):
        yield


@contextmanager
def meeting_before(place: Any, name: str, meeting: Meeting) -> Iterator[None]:
    """Let everyone who is to run this function meet before they do."""
    function = getattr(place, name)

    def run(*args: Any, **options: Any) -> Any:
        meeting.arrive()
        return function(*args, **options)

    with patch.object(place, name, run):
        yield


@contextmanager
def without_locks(*modules: Any) -> Iterator[None]:
    """Take the CreditAccounts' lock out of these modules."""

    def lock_nothing(*, customer_ids: list[int], skip_locked: bool = False) -> list[int]:
        return customer_ids

    patches = [patch.object(module, "lock_accounts", lock_nothing) for module in modules]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


@contextmanager
def without_row_locks(model: type[Model]) -> Iterator[None]:
    """Let `select_for_update` read a model's rows without their lock."""
    lock = QuerySet.select_for_update

    def lock_others(rows: QuerySet[Any], *args: Any, **options: Any) -> QuerySet[Any]:
        return rows.all() if rows.model is model else lock(rows, *args, **options)

    with patch.object(QuerySet, "select_for_update", lock_others):
        yield


@contextmanager
def without_condition(model: type[Model], **condition: Any) -> Iterator[None]:
    """Leave a condition out of the filters of a model: that of a conditional UPDATE."""
    filter_by = QuerySet.filter

    def filter_by_others(rows: QuerySet[Any], *args: Any, **wanted: Any) -> QuerySet[Any]:
        if rows.model is model and condition.items() <= wanted.items():
            wanted = {name: value for name, value in wanted.items() if name not in condition}
        return filter_by(rows, *args, **wanted)

    with patch.object(QuerySet, "filter", filter_by_others):
        yield


@contextmanager
def replaced(place: Any, name: str, old: str, new: str) -> Iterator[None]:
    """Change a part of a statement."""
    statement = getattr(place, name)
    assert old in statement
    with patch.object(place, name, statement.replace(old, new)):
        yield


@contextmanager
def without_constraint(name: str) -> Iterator[None]:
    """Drop a unique key or other constraint; the rows go with the end of the block, and it is put back."""
    with connection.cursor() as cursor:
        cursor.execute(DEFINITION, {"name": name})
        ((add, drop),) = cursor.fetchall()
        cursor.execute(drop)
    try:
        yield
    finally:
        with pgtrigger.ignore():
            pristine.restore(connection)
        with connection.cursor() as cursor:
            cursor.execute(add)


def key_of(table: str, column: str) -> str:
    """Return the name of the unique key on one column of a table."""
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    (name,) = [
        name
        for name, found in constraints.items()
        if found["columns"] == [column] and found["unique"] and not found["primary_key"]
    ]
    return str(name)


@contextmanager
def slow_inserts(table: str, seconds: float = 0.25) -> Iterator[None]:
    """Let every row take its time to go in, so that two statements interleave."""
    with connection.cursor() as cursor:
        cursor.execute(SLOW_DOWN.format(table=table, seconds=seconds))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(AT_FULL_SPEED.format(table=table))
