"""What every export command does around its one statement: the file appears whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

STDOUT = "-"


class ExportCommand(BaseCommand):
    """A command that writes CSV and ends with the line `exported=N`; on stderr where the CSV is on stdout."""

    export: Callable[..., int]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", required=True, metavar="FILE", help="the file to write, or - for standard output")

    def handle(self, *args: Any, to: str, **options: Any) -> None:
        if to == STDOUT:
            self.stderr.write(f"exported={self.export(to=self.stdout)}")
            return
        try:
            with written_whole(Path(to)) as draft:
                count = self.export(to=draft)
        except OSError as fault:
            raise CommandError(f"{to} cannot be written: {fault.strerror}.") from fault
        self.stdout.write(f"exported={count}")


@contextmanager
def written_whole(path: Path) -> Iterator[IO[str]]:
    """Give a draft to write, beside `path`: it takes its place once it is on disk, and is gone if anything fails.

    What is no regular file, a pipe or a device, is written as it is.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    handle, name = mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as draft:
            yield draft
            draft.flush()
            os.fchmod(draft.fileno(), _mode_of(target))
            os.fsync(draft.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode_of(target: Path) -> int:
    """The mode that `target` has, or that a new file gets here."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
