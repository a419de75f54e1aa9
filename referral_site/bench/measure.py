"""Turns of both sides, one after the other, and what they come to."""

import gc
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from django.db import ProgrammingError, connection

from referral_site.bench.jobs import JOBS, Job, Payout
from referral_site.bench.scratch import migrate, scratch_database
from referral_site.bench.seed import Scale, seed

# Each side has one turn a round; who begins, changes. A class of the seed is one turn.
ROUNDS = 3
MIB = 1 << 20
SHOWN = ("server_version", "shared_buffers", "fsync")


@dataclass(frozen=True)
class Measured:
    """What a job came to: medians, in seconds; `ratio` is raw time / our time, so 1 is as fast as raw."""

    name: str
    rows: int
    seconds: float
    raw_seconds: float
    ratio: float
    rows_per_second: float
    peak_mib: float


class UnableToCompare(Exception):
    """The two sides did not write the same rows, so that their times say nothing. `code` is `different`."""

    code = "different"


def bench(*, scale: Scale, names: Sequence[str]) -> Iterator[Measured]:
    """Run the jobs of these names at a scale in a scratch database, and yield what each came to."""
    with scratch_database(), TemporaryDirectory(prefix="bench-") as folder:
        migrate()
        seed(scale, payouts=Payout.name in names)
        for job in JOBS:
            if job.name in names:
                yield measure(job(scale, Path(folder)))


def measure(job: Job) -> Measured:
    """Run a job's turns, each side the same number. Raises UnableToCompare."""
    times: dict[bool, list[float]] = {False: [], True: []}
    peaks: list[float] = []
    written = set()
    for turn in range(2 * ROUNDS):
        raw = turn % 4 in (0, 3)
        job.prepare(turn)
        settle_dust(job)
        forget_peak()
        times[raw].append(seconds_of(job.raw if raw else job.ours, turn))
        if not raw:
            peaks.append(peak_mib())
        written.add(job.written(turn))
    if len(written) > 1:
        raise UnableToCompare(f"{job.name}: the turns wrote {sorted(written)}.")
    return figures(job, seconds=median(times[False]), raw_seconds=median(times[True]), peak=max(peaks))


def figures(job: Job, *, seconds: float, raw_seconds: float, peak: float) -> Measured:
    """Set the medians in relation."""
    return Measured(
        name=job.name,
        rows=job.rows,
        seconds=round(seconds, 6),
        raw_seconds=round(raw_seconds, 6),
        ratio=round(raw_seconds / seconds, 3),
        rows_per_second=round(job.rows / seconds, 1),
        peak_mib=round(peak, 1),
    )


def settle_dust(job: Job) -> None:
    """Vacuum, analyse and write back what the turn before has left, so that this one does not pay for it."""
    gc.collect()
    with connection.cursor() as cursor:
        if job.tables:
            cursor.execute(f"VACUUM (ANALYZE) {', '.join(job.tables)}")
        with suppress(ProgrammingError):  # of a server whose superuser we are not
            cursor.execute("CHECKPOINT")


def seconds_of(work: Callable[[int], None], turn: int) -> float:
    """Do one turn, and say how long it took."""
    began = time.perf_counter()
    work(turn)
    return time.perf_counter() - began


def forget_peak() -> None:
    """Begin the peak of our memory anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Our largest resident memory since the peak began anew, or since we started where the system cannot say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def machine() -> str:
    """The machine and the server in one line."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(name) FROM unnest(%s) AS name", [list(SHOWN)])
        version, buffers, fsync = (row[0] for row in cursor.fetchall())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = os.getloadavg()[0]
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f}; Python "
        f"{platform.python_version()}; Postgres {version}, shared_buffers {buffers}, fsync {fsync}"
    )
