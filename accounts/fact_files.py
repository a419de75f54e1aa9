"""Files of facts: CSV files that are proven readable before anything changes, then read row by row (DESIGN: Doors)."""

import csv
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, TextIO

from accounts.facts import Refusal

# Bytes. Without a bound, a file that is no text would be read whole in search of its first line end.
LONGEST_LINE = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REJECTS_COLUMNS = ("line", "code", "message")


class UnableToReadFile(Exception):
    """The file is no file of facts; the message names the file, the line and what is wrong."""

    code = "unreadable"

    def __init__(self, path: Path, fault: str, line: int | None = None) -> None:
        super().__init__(f"{path}{f', line {line}' if line else ''}: {fault}")


class UnableToWriteRejects(Exception):
    """The rejects file cannot be written where it is wanted."""

    code = "unwritable"

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path}: cannot be written: {fault}")


class FactRow(NamedTuple):
    """One row of a file; `line` is the physical line on which it starts, the header being on line 1."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Contents:
    """What the first pass over a file finds: its columns, its digest, and how far it goes."""

    columns: tuple[str, ...]
    digest: str
    rows: int
    last_line: int


class FactFile:
    """A file of facts, held open: what was proven readable is what is read, even if the path gets another file."""

    def __init__(self, path: Path, required: Sequence[str]) -> None:
        """Open the file and read it through once. Raises UnableToReadFile."""
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as fault:
            raise UnableToReadFile(path, f"cannot be read: {fault.strerror}") from fault
        try:
            self.contents = self._examine(required)
        except BaseException:
            self._file.close()
            raise
        self._places = [self.contents.columns.index(name) for name in required]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def is_at(self, path: Path) -> bool:
        """Say whether `path` is this file, by whatever name."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except OSError:
            return False

    def rows(self, *, after: int = 0) -> Iterator[FactRow]:
        """Yield the rows that start after line `after`, in the order in which they stand."""
        records = self._records(lambda raw: None)
        next(records)
        last_line = self.contents.last_line  # what a writer appends meanwhile has not been examined
        return (row for row in takewhile(lambda row: row.line <= last_line, records) if row.line > after)

    def required_cells(self, row: FactRow) -> list[str]:
        """Return the cells of the required columns, in the order in which these were required."""
        return [row.cells[place] for place in self._places]

    def chunks(self, *, size: int, after: int = 0) -> Iterator[list[FactRow]]:
        """Yield the rows after line `after` in chunks of at most `size`."""
        rows = self.rows(after=after)
        while chunk := list(islice(rows, size)):
            yield chunk

    def _examine(self, required: Sequence[str]) -> Contents:
        digest = hashlib.sha256()
        records = self._records(digest.update)
        header = next(records, None)
        if header is None:
            raise UnableToReadFile(self.path, "is empty")
        self._check_columns(header, required)
        rows, last_line = 0, header.line
        for row in records:
            if len(row.cells) != len(header.cells):
                fault = f"has {len(row.cells)} fields where the header has {len(header.cells)}"
                raise UnableToReadFile(self.path, fault, row.line)
            rows, last_line = rows + 1, row.line
        return Contents(tuple(header.cells), digest.hexdigest(), rows, last_line)

    def _check_columns(self, header: FactRow, required: Sequence[str]) -> None:
        for name in required:
            if name not in header.cells:
                raise UnableToReadFile(self.path, f"column {name} is missing", header.line)
        for name in header.cells:
            if header.cells.count(name) > 1:
                raise UnableToReadFile(self.path, f"column {name} stands twice", header.line)

    def _records(self, see: Callable[[bytes], object]) -> Iterator[FactRow]:
        """Yield the header and the rows from the start of the file, without blank lines; `see` gets every raw line."""
        reader = csv.reader(self._lines(see), strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as fault:
                raise UnableToReadFile(self.path, _in_words(fault), line) from fault
            if cells is None:
                return
            if cells:
                yield FactRow(line, cells)

    def _lines(self, see: Callable[[bytes], object]) -> Iterator[str]:
        try:
            self._file.seek(0)
            for number, raw in enumerate(iter(lambda: self._file.readline(LONGEST_LINE), b""), start=1):
                see(raw)
                yield self._decoded(raw, number)
        except OSError as fault:
            raise UnableToReadFile(self.path, f"cannot be read: {fault.strerror or fault}") from fault

    def _decoded(self, raw: bytes, number: int) -> str:
        if not raw.endswith(b"\n"):
            whole = len(raw) < LONGEST_LINE
            fault = "the last line is cut off: it has no line end" if whole else "the line is too long"
            raise UnableToReadFile(self.path, fault, number)
        if b"\0" in raw:
            raise UnableToReadFile(self.path, "holds a NUL byte", number)
        try:
            return (raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw).decode()
        except UnicodeDecodeError as fault:
            raise UnableToReadFile(self.path, "is not UTF-8", number) from fault


def _in_words(fault: csv.Error) -> str:
    if "unexpected end of data" in str(fault):
        return "a quote is opened and never closed"
    if "field larger" in str(fault):
        return "a field is too long, or its quote is never closed"
    return f"is not CSV: {fault}"


class RejectsFile:
    """The file of refused rows, which appears whole or not at all.

    It is drafted under one name beside its place, so that the draft of a run that was killed is the next run's.
    """

    def __init__(self, path: Path, facts: FactFile) -> None:
        """Prepare the file for what is refused of `facts`. Raises UnableToWriteRejects before anything has changed."""
        self.path = path
        self._facts = facts
        self._draft_path = path.with_name(f".{path.name[:100]}.draft")
        if facts.is_at(path):
            raise UnableToWriteRejects(path, "is the file to import")
        try:
            if path.exists() and not path.is_file():
                raise UnableToWriteRejects(path, "is not a plain file")
            self._draft = self._open_draft()
        except BlockingIOError as fault:
            raise UnableToWriteRejects(path, "another import is writing it") from fault
        except OSError as fault:
            raise UnableToWriteRejects(path, fault.strerror or str(fault)) from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._is_ours(self._draft):
            self._draft_path.unlink()
        self._draft.close()

    def write(self, refusals: Iterable[Refusal]) -> None:
        """Write the refused rows as they stood; `refusals` come by line, those without one last."""
        columns = self._facts.contents.columns
        rows = self._facts.rows()
        try:
            out = csv.writer(self._draft, lineterminator="\n")
            out.writerow([*REJECTS_COLUMNS, *columns])
            for refusal in refusals:
                if refusal.line is None:
                    cells = [refusal.fact.get(name, "") for name in columns]
                else:
                    cells = next(row.cells for row in rows if row.line == refusal.line)
                out.writerow([refusal.line or "", refusal.code, refusal.message, *cells])
            self._put_in_place()
        except OSError as fault:
            raise UnableToWriteRejects(self.path, fault.strerror or str(fault)) from fault

    def _open_draft(self) -> TextIO:
        """Open the draft empty, with its lock, which goes with this process. Raises BlockingIOError: another has it."""
        while True:
            handle = os.open(self._draft_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            draft = os.fdopen(handle, "w", encoding="utf-8", newline="")
            try:
                fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                draft.close()
                raise
            if self._is_ours(draft):
                draft.truncate()
                return draft
            draft.close()  # between the two steps another import has put it in place or away

    def _is_ours(self, draft: TextIO) -> bool:
        try:
            return os.path.samestat(os.fstat(draft.fileno()), self._draft_path.lstat())
        except FileNotFoundError:
            return False

    def _put_in_place(self) -> None:
        self._draft.flush()
        os.fsync(self._draft.fileno())
        self._draft_path.replace(self.path)
