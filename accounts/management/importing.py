"""What the three import commands share: their arguments, and the way from a file to its line of counts."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from accounts.fact_files import FactFile, FactRow, RejectsFile, UnableToReadFile, UnableToWriteRejects
from accounts.models import ImportRun
from accounts.operations import UnableToAdvanceRun, analyse_grown_tables, finish_run, start_run
from accounts.run_queries import refusals_of

CHUNK_SIZE = 10_000
Row = TypeVar("Row")


def positive(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


class ImportCommand(BaseCommand):
    """Reads a file of facts into the product; an interrupted import goes on where it stopped."""

    kind: ClassVar[ImportRun.Kind]
    columns: ClassVar[Sequence[str]]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help=f"a CSV file in UTF-8 with the columns {', '.join(self.columns)}")
        parser.add_argument("--rejects", type=Path, metavar="FILE", help="where to write the refused rows, with why")
        parser.add_argument("--strict", action="store_true", help="exit with 1 when a row was refused")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ExitStack() as files:
                facts = files.enter_context(FactFile(options["file"], self.columns))
                rejects = options["rejects"] and files.enter_context(RejectsFile(Path(options["rejects"]), facts))
                now = clock.now()
                run = start_run(kind=self.kind, file_digest=facts.contents.digest, now=now)
                self.record(facts, run=run, now=now)
                if rejects:
                    rejects.write(refusals_of(run))
                tally = finish_run(run=run, now=clock.now())
                analyse_grown_tables()
        except (UnableToReadFile, UnableToWriteRejects, UnableToAdvanceRun) as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(str(tally))
        if options["strict"] and tally.refused:
            raise CommandError(f"{tally.refused} refused")

    def record(self, facts: FactFile, *, run: ImportRun, now: datetime) -> None:
        """Record what the run has not done yet of the file."""
        raise NotImplementedError

    def in_view(self, rows: Iterable[Row], facts: FactFile, line_of: Callable[[Row], int]) -> Iterator[Row]:
        """Yield what `rows` yields, and on a terminal say how far it has come."""
        shown = 0
        for row in rows:
            yield row
            share = 100 * line_of(row) // max(facts.contents.last_line, 1)
            if sys.stderr.isatty() and share != shown:
                shown = share
                self.stderr.write(f"\r{facts.path.name}: {share} %", ending="\n" if share == 100 else "")


class ChunkedImportCommand(ImportCommand):
    """An import whose chunks are a transaction each."""

    chunk_size = CHUNK_SIZE

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--chunk-size", type=positive, default=CHUNK_SIZE, metavar="N", help="rows a transaction (%(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.chunk_size = options["chunk_size"]
        super().handle(*args, **options)

    def record(self, facts: FactFile, *, run: ImportRun, now: datetime) -> None:
        chunks = facts.chunks(size=self.chunk_size, after=run.lines_done)
        for chunk in self.in_view(chunks, facts, lambda chunk: chunk[-1].line):
            analyse_grown_tables()
            self.record_chunk(facts, chunk, run=run, now=now)
            run.lines_done = chunk[-1].line

    def record_chunk(self, facts: FactFile, chunk: list[FactRow], *, run: ImportRun, now: datetime) -> None:
        """Record one chunk in one call."""
        raise NotImplementedError
