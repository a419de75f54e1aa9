"""CSV files that a page offers: sent row by row, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from django.http import StreamingHttpResponse

# A spreadsheet takes a cell that begins so for a formula, and carries it out.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_file(name: str, *, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """Answer with the rows as they come, however many they are.

    Columns are named alike in every language, amounts are plain decimals and times RFC 3339 in UTC: a program reads
    such a file as well as a person.
    """
    response = StreamingHttpResponse(_lines(columns, rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def cell(value: object) -> str:
    """Return what stands in a cell: text that a spreadsheet would carry out begins with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return f"'{value}"
    return str(value)


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line
