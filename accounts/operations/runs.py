"""How far the reading of a file has come (DESIGN: Doors). The counts move in the transaction of the facts."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from accounts.facts import Refusal, Tally
from accounts.models import ImportRun, RefusedFact
from accounts.retries import retried


class UnableToAdvanceRun(Exception):
    """Another process is reading the same file; `code` is `overtaken`."""

    code = "overtaken"

    def __init__(self) -> None:
        super().__init__("The file is being imported by another process.")


@retried
def start_run(*, kind: str, file_digest: str, now: datetime) -> ImportRun:
    """Return the unfinished run of this file, or a new one. A file whose run has finished is read anew."""
    run, _ = ImportRun.objects.get_or_create(
        kind=kind, file_digest=file_digest, finished_at=None, defaults={"started_at": now}
    )
    return run


def advance_run(*, run: ImportRun, lines_done: int, tally: Tally, refusals: Sequence[Refusal]) -> None:
    """Move the run on to `lines_done`, add to its counts and keep the `refusals`, in the caller's transaction.

    `tally` counts those too whom the caller keeps by itself. `lines_done` is the line of the file on which the last
    fact done starts. `run` stays as it is, and whoever reads the file moves it on after the commit: a transaction that
    is undone there begins anew from the same place. Raises UnableToAdvanceRun where the run is not where `run` says:
    two processes would count the same facts twice.
    """
    with transaction.atomic():
        moved = ImportRun.objects.filter(pk=run.pk, lines_done=run.lines_done, finished_at=None).update(
            lines_done=lines_done,
            accepted=F("accepted") + tally.accepted,
            waiting=F("waiting") + tally.waiting,
            duplicate=F("duplicate") + tally.duplicate,
            refused=F("refused") + tally.refused,
        )
        if not moved:
            raise UnableToAdvanceRun
        RefusedFact.objects.bulk_create(
            [
                RefusedFact(run=run, line=refusal.line, code=refusal.code, message=refusal.message, fact=refusal.fact)
                for refusal in refusals
            ]
        )


@retried
def finish_run(*, run: ImportRun, now: datetime) -> Tally:
    """Close the run and return the counts of the whole file. Raises UnableToAdvanceRun where it is closed already."""
    with transaction.atomic():
        if not ImportRun.objects.filter(pk=run.pk, lines_done=run.lines_done, finished_at=None).update(finished_at=now):
            raise UnableToAdvanceRun
        run.refresh_from_db()
    return Tally(run.accepted, run.waiting, run.duplicate, run.refused)
