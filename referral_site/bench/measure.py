"""Turns of both sides, one after the other, and what they come to."""

import gc
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from django.db import ProgrammingError, connection

from referral_site.bench.job import Job
from referral_site.bench.jobs import JOBS, cohorts_of, first_cohort
from referral_site.bench.scratch import migrate, scratch_database
from referral_site.bench.seed import Scale, seed

MIB = 1 << 20
SHOWN = ("server_version", "shared_buffers", "fsync")


@dataclass(frozen=True)
class Measured:
    """What a job came to: medians, in seconds; `ratio` is raw time / our time, so 1 is as fast as raw.

    `referrals` is how many there were, `rows` how many rows of work a turn had.
    """

    name: str
    referrals: int
    rows: int
    seconds: float
    raw_seconds: float
    ratio: float
    rows_per_second: float
    peak_mib: float


class UnableToCompare(Exception):
    """The two sides did not write the same rows, so that their times say nothing. `code` is `different`."""

    code = "different"


@dataclass(frozen=True)
class Bench:
    """Jobs in a scratch database that has been seeded for them; that took `seconds`, and the disk it took is `mib`."""

    jobs: Sequence[Job]
    seconds: float
    mib: int

    def measured(self) -> Iterator[Measured]:
        """Run the jobs, and yield what each came to. Raises UnableToCompare."""
        for job in self.jobs:
            yield measure(job)


@contextmanager
def seeded_bench(*, scale: Scale, names: Collection[str]) -> Iterator[Bench]:
    """Seed a scratch database for jobs, by their names; it is gone at the end. Raises UnableToMakeScratchDatabase."""
    kinds = [job for job in JOBS if job.name in names]
    with scratch_database(), TemporaryDirectory(prefix="bench-") as folder:
        migrate()
        began = time.perf_counter()
        seed(scale, cohorts=cohorts_of(kinds), needs={need for job in kinds for need in job.needs})
        jobs = [job(scale, first_cohort(job, kinds), Path(folder)) for job in kinds]
        yield Bench(jobs, time.perf_counter() - began, size_in_mib())


def measure(job: Job) -> Measured:
    """Run a job's turns, each side the same number. Raises UnableToCompare."""
    times: dict[bool, list[float]] = {False: [], True: []}
    peaks: list[float] = []
    written = set()
    for turn in range(2 * job.rounds):
        raw = turn % 4 in (0, 3)
        try:
            job.prepare(turn, raw=raw)
            settle_dust(job)
            forget_peak()
            times[raw].append(seconds_of(job.raw if raw else job.ours, turn))
        finally:
            job.finish(turn)
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
        referrals=job.scale.referrals,
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


def size_in_mib() -> int:
    """What our database takes on disk."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()) / %s", [MIB])
        return int(cursor.fetchone()[0])


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
