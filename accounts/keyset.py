"""Pages of a list by where the last row stood, not by its number: the hundredth page costs what the first costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from django.db.models import Model, Q, QuerySet

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LONGEST_AMOUNT = 20

RowT = TypeVar("RowT", bound=Model)
ShownT = TypeVar("ShownT")
ChangedT = TypeVar("ChangedT")


class UnableToReadPlace(Exception):
    """What an address says about the place in a list is none (`place`)."""

    code = "place"


def instant(text: str) -> datetime:
    """Read an instant off an address: microseconds since 1970. Raises ValueError or OverflowError."""
    return EPOCH + int(text) * MICROSECOND


def amount(text: str) -> Decimal:
    """Read an amount off an address: cents. Raises ValueError."""
    if len(text) > LONGEST_AMOUNT:
        raise ValueError(text)
    return Decimal(int(text)) / 100


class Place(NamedTuple):
    """Where a row stands in a list that is ordered by an instant or an amount, then by pk."""

    at: datetime | Decimal
    pk: int

    @classmethod
    def parse(cls, text: str, read: Callable[[str], datetime | Decimal] = instant) -> Place | None:
        """Read what an address holds; nothing is the start of the list. Raises UnableToReadPlace."""
        if not text:
            return None
        at, _, pk = text.partition("_")
        try:
            place = cls(read(at), int(pk))
        except (ValueError, OverflowError) as fault:
            raise UnableToReadPlace(text) from fault
        if not 0 <= place.pk < 2**63:
            raise UnableToReadPlace(text)
        return place

    def __str__(self) -> str:
        at = int(self.at * 100) if isinstance(self.at, Decimal) else (self.at - EPOCH) // MICROSECOND
        return f"{at}_{self.pk}"


@dataclass(frozen=True)
class Page(Generic[ShownT]):
    """Some rows of a list, where the next page starts, if there is one, and whether this is the first."""

    rows: list[ShownT]
    next: Place | None
    is_first: bool

    def map(self, change: Callable[[ShownT], ChangedT]) -> Page[ChangedT]:
        return Page([change(row) for row in self.rows], self.next, self.is_first)

    def __bool__(self) -> bool:
        return bool(self.rows)


def page_of(rows: QuerySet[RowT], *, by: str, after: Place | None, size: int, newest_first: bool) -> Page[RowT]:
    """Return the page that follows the place `after`, in order of `by`, then of pk. One statement."""
    way, beyond = ("-", "lt") if newest_first else ("", "gt")
    ordered = rows.order_by(f"{way}{by}", f"{way}pk")
    if after:
        # The first condition follows from the second; an index can start at it.
        ordered = ordered.filter(
            Q(**{f"{by}__{beyond}e": after.at}), Q(**{f"{by}__{beyond}": after.at}) | Q(**{f"pk__{beyond}": after.pk})
        )
    found = list(ordered[: size + 1])
    last = found[size - 1] if len(found) > size else None
    return Page(found[:size], Place(getattr(last, by), last.pk) if last else None, after is None)
