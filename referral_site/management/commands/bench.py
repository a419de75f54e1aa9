"""`bench [--scale N] [--due N] [--clustered] [--only NAME] [--days N] [--json FILE]`: the engine beside raw SQL."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from referral_site.bench.crowd import UnableToRunCrowd
from referral_site.bench.growth import Grown, grow
from referral_site.bench.jobs import JOBS, least_cohorts
from referral_site.bench.measure import Bench, Measured, UnableToCompare, machine, seeded_bench
from referral_site.bench.scratch import UnableToMakeScratchDatabase
from referral_site.bench.seed import Scale
from referral_site.bench.served import UnableToServe

GROWTH = "growth"
NAMES = [*(job.name for job in JOBS), GROWTH]
BY_DEFAULT = [job.name for job in JOBS if job.by_default]
LEAST = 1000
LEAST_DUE = 50
DAYS = 30
DEFAULT = "1000000"
HEADINGS = ("name", "rows", "seconds", "raw_seconds", "ratio", "rows/s", "peak MiB")
LINE = "{:<34} {:>10} {:>12} {:>12} {:>7} {:>12} {:>9}"
HEADINGS_OF_TABLES = (
    "table", "rows before", "rows", "dead", "updates", "HOT", "vacuums", "heap MiB", "after", "tight", "index MiB",
    "after", "tight",
)  # fmt: skip
LINE_OF_TABLE = "  {:<32} {:>11} {:>10} {:>9} {:>9} {:>6} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}"


def whole_number(text: str) -> int:
    """Read a number of ASCII digits."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def referrals(text: str) -> int:
    """Read how many referrals there are to be, in whole hundreds."""
    if (number := whole_number(text)) < LEAST:
        raise ValueError(text)
    return number // 100 * 100


def scale_of(number: int, due: int | None, names: Sequence[str], *, clustered: bool) -> Scale:
    """Return the scale at which these jobs run. Raises CommandError where a turn cannot have so many rows."""
    jobs = [job for job in JOBS if job.name in names]
    most = number // least_cohorts(jobs)
    if due is None:
        due = number // max(job.share for job in jobs)
    if not LEAST_DUE <= due <= most:
        raise CommandError(f"--due: from {LEAST_DUE} to {most}, with {number} referrals and these jobs")
    return Scale(number, due, clustered)


class Command(BaseCommand):
    help = "Measure each job of the engine beside raw SQL that writes the same rows, in a scratch database of its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--scale",
            type=referrals,
            default=DEFAULT,
            metavar="N",
            help=f"referrals, {LEAST} or more; default: {DEFAULT}",
        )
        parser.add_argument("--due", type=whole_number, metavar="N", help="referrals a turn; default: a 20th of all")
        parser.add_argument(
            "--clustered",
            action="store_true",
            help="let the referrals of a turn lie together, as those do that registered together; "
            "default: spread over all pages of the tables",
        )
        parser.add_argument("--only", choices=NAMES, metavar="NAME", help=f"one job: {', '.join(NAMES)}")
        parser.add_argument(
            "--days", type=whole_number, default=DAYS, metavar="N", help=f"simulated days of growth; default: {DAYS}"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures too")

    def handle(self, *args: Any, scale: int, only: str | None, **options: Any) -> None:
        if (path := options["json"]) and not path.parent.is_dir():
            raise CommandError(f"--json: there is no folder {path.parent}")
        try:
            if only == GROWTH:
                self.grow(scale, options["days"], clustered=options["clustered"], path=path)
                return
            names = [only] if only else BY_DEFAULT
            size = scale_of(scale, options["due"], names, clustered=options["clustered"])
            with seeded_bench(scale=size, names=names) as bench:
                self.measure(size, bench, path)
        except (UnableToMakeScratchDatabase, UnableToCompare, UnableToRunCrowd, UnableToServe) as fault:
            raise CommandError(str(fault)) from fault

    def measure(self, scale: Scale, bench: Bench, path: Path | None) -> None:
        """Run the jobs."""
        seeded = f"seeded in {bench.seconds:.0f} s, {bench.mib} MiB"
        self.stdout.write(f"{scale.referrals} referrals, {scale.due} a turn; {seeded}; {machine()}")
        self.stdout.write(LINE.format(*HEADINGS))
        self.stdout.flush()
        self.report(bench.measured(), path)

    def grow(self, scale: int, days: int, *, clustered: bool, path: Path | None) -> None:
        """Let the days pass, once for each way of vacuuming."""
        self.stdout.write(f"{scale} referrals, {days} days; {machine()}")
        self.stdout.write(LINE.format(*HEADINGS))
        self.report(grow(referrals=scale, days=days, clustered=clustered), path)

    def report(self, figures: Iterator[Measured] | Iterator[Grown], path: Path | None) -> None:
        """Print and write each one's figures as soon as they are there."""
        found = []
        for measured in figures:
            found.append(asdict(measured))
            self.stdout.write(in_line(measured))
            if isinstance(measured, Grown):
                self.stdout.write(in_tables(measured))
            self.stdout.flush()
            if path:
                path.write_text(json.dumps(found, indent=2) + "\n")


def in_line(measured: Measured | Grown) -> str:
    """One line of the table; seconds to a tenth of a millisecond."""
    return LINE.format(
        measured.name,
        measured.rows,
        f"{measured.seconds:.4f}",
        f"{measured.raw_seconds:.4f}",
        f"{measured.ratio:.2f}",
        f"{measured.rows_per_second:.0f}",
        f"{measured.peak_mib:.0f}",
    )


def in_tables(grown: Grown) -> str:
    """The tables as lines; sizes in MiB, `tight` as after writing the table anew."""
    idle = ", ".join(f"{took:.1f}" for took in grown.idle_ms)
    lines = [f"  vacuums took {grown.vacuum_seconds:.1f} s; nothing due took {idle} ms"]
    lines.append(LINE_OF_TABLE.format(*HEADINGS_OF_TABLES))
    for one in grown.tables:
        hot = f"{100 * one.hot_updates / one.updates:.0f} %" if one.updates else ""
        counts = (one.rows_before, one.rows, one.dead_rows, one.updates, hot, one.vacuums)
        heap = (one.heap_mib_before, one.heap_mib, one.heap_mib_tight)
        index = (one.index_mib_before, one.index_mib, one.index_mib_tight)
        lines.append(LINE_OF_TABLE.format(one.table, *counts, *(f"{size:.1f}" for size in (*heap, *index))))
    return "\n".join(lines)
