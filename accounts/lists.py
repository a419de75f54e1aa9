"""Lists of which others keep a copy: page by page, and then what has changed (docs/architecture.md: The change feed).

Transactions get their numbers when they begin to write, and commit in another order. So a reader is shown only what
was written by transactions below the horizon, the oldest that is still open: of those nothing can come any more.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from django.core import signing
from django.db import connection
from django.db.models import Model, Q, QuerySet

from accounts.models import User

# Besides the horizon, what tells one history of transactions from another: a server that was restored from a dump
# counts anew, and one that was restored to an instant or has taken over counts again from there.
HORIZON = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, format('%s-%s', system_identifier, CASE
    WHEN pg_is_in_recovery() THEN (SELECT to_hex(timeline_id) FROM pg_control_checkpoint())
    ELSE ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0') END)
FROM pg_control_system()
"""

PAGE, CHANGES = "page", "changes"

RowT = TypeVar("RowT", bound=Model)


class UnableToReadCursor(Exception):
    """The cursor is not one of this list, or of another database."""

    code = "cursor"


class Horizon(NamedTuple):
    """What was written by transactions below `transaction` is all there is to see of them, within one `history`."""

    transaction: int
    history: str


@dataclass(frozen=True)
class Turn:
    """Which part of a list is asked for: the page behind `cursor`, or what has changed since `since`."""

    cursor: str
    since: str
    size: int


@dataclass(frozen=True)
class Wanted:
    """Which rows of a list are asked for: of an account, in a state, of a kind, with their instant in [start, end)."""

    account_id: str | None = None
    state: str | None = None
    kind: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def within(self, instant: str) -> Q:
        """Return the condition on the field that holds the row's instant."""
        condition = Q()
        if self.start is not None:
            condition &= Q(**{f"{instant}__gte": self.start})
        if self.end is not None:
            condition &= Q(**{f"{instant}__lt": self.end})
        return condition


@dataclass(frozen=True)
class Part(Generic[RowT]):
    """Some rows of a list; the cursor of more, if there are more; and the one to ask with what changes from here on."""

    rows: list[RowT]
    next: str | None
    changes: str


def horizon() -> Horizon:
    """Return the horizon as of now. One statement, which stands before the one that reads the rows."""
    with connection.cursor() as cursor:
        cursor.execute(HORIZON)
        return Horizon(*cursor.fetchone())


def part_of(
    rows: QuerySet[RowT], *, name: str, turn: Turn, notes: QuerySet[Any], row_of: Callable[[Any], RowT]
) -> Part[RowT]:
    """Return the part of the list `name` that is asked for. Two statements, the same for each page.

    `notes` say in `recorded_in` which transaction has written the row that `row_of` finds on them. A page is in order
    of pk, changes in order of their transactions; a row that has changed again comes again. Raises UnableToReadCursor.
    """
    if turn.cursor and turn.since:
        raise UnableToReadCursor(turn.cursor)
    now = horizon()
    if turn.since:
        return _changes(notes, row_of, name, turn, now)
    return _page(rows, name, turn, now)


def page_after(*, name: str, pk: int) -> str:
    """Return the cursor of the page of a list that begins behind a row: for the bench, which does not walk there."""
    now = horizon()
    return _write(name, PAGE, now.history, pk, now.transaction)


def _page(rows: QuerySet[RowT], name: str, turn: Turn, now: Horizon) -> Part[RowT]:
    """The first page's horizon goes from page to page: what changes while they are read is asked for afterwards."""
    after, since = _read(name, PAGE, turn.cursor, now.history) if turn.cursor else (0, now.transaction)
    found = list(rows.filter(pk__gt=after).order_by("pk")[: turn.size + 1])
    is_more, found = len(found) > turn.size, found[: turn.size]
    more = _write(name, PAGE, now.history, found[-1].pk, since) if is_more else None
    return Part(found, more, _write(name, CHANGES, now.history, since, 0))


def _changes(notes: QuerySet[Any], row_of: Callable[[Any], RowT], name: str, turn: Turn, now: Horizon) -> Part[RowT]:
    transaction, pk = _read(name, CHANGES, turn.since, now.history)
    if transaction > now.transaction:
        raise UnableToReadCursor(turn.since)
    # The first condition follows from the second; an index can start at it.
    decided = notes.filter(recorded_in__gte=transaction, recorded_in__lt=now.transaction)
    fresh = decided.filter(Q(recorded_in__gt=transaction) | Q(pk__gt=pk)).order_by("recorded_in", "pk")
    found = list(fresh[: turn.size + 1])
    is_more, found = len(found) > turn.size, found[: turn.size]
    place = (found[-1].recorded_in, found[-1].pk) if is_more else (now.transaction, 0)
    cursor = _write(name, CHANGES, now.history, *place)
    changed = {row.pk: row for row in map(row_of, found)}
    return Part(list(changed.values()), cursor if is_more else None, cursor)


def under(path: str, condition: Q) -> Q:
    """Return the condition as one on what stands behind `path`."""
    children: list[Any] = condition.children
    moved = [under(path, child) if isinstance(child, Q) else (f"{path}{child[0]}", child[1]) for child in children]
    return Q(*moved, _connector=condition.connector, _negated=condition.negated)


def customer_of(account_id: str | None) -> int | None:
    """Return the pk of the account that is asked for: 0, which no account has, for one that is unknown."""
    if account_id is None:
        return None
    return User.objects.filter(account_id=account_id).values_list("pk", flat=True).first() or 0


def _signer(name: str, kind: str) -> signing.Signer:
    return signing.Signer(sep=".", salt=f"{name}.{kind}")


def _write(name: str, kind: str, history: str, *place: int) -> str:
    return _signer(name, kind).sign_object([history, *place])


def _read(name: str, kind: str, text: str, history: str) -> tuple[int, int]:
    try:
        was, first, second = _signer(name, kind).unsign_object(text)
    except (signing.BadSignature, binascii.Error, ValueError) as fault:
        raise UnableToReadCursor(text) from fault
    if was != history:
        raise UnableToReadCursor(text)
    return first, second
