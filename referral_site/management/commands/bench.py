"""`bench [--scale N] [--only NAME] [--json FILE]`: how fast the engine is, beside raw SQL."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from referral_site.bench.crowd import UnableToRunCrowd
from referral_site.bench.jobs import JOBS
from referral_site.bench.measure import Measured, UnableToCompare, bench, machine
from referral_site.bench.scratch import UnableToMakeScratchDatabase
from referral_site.bench.seed import Scale

NAMES = [job.name for job in JOBS]
LEAST = 1000
DEFAULT = "1000000"
HEADINGS = ("name", "rows", "seconds", "raw_seconds", "ratio", "rows/s", "peak MiB")
LINE = "{:<34} {:>10} {:>12} {:>12} {:>7} {:>12} {:>9}"


def scale_of(text: str) -> Scale:
    """Read how many referrals there are to be, in whole hundreds."""
    if not (text.isascii() and text.isdigit()) or int(text) < LEAST:
        raise ValueError(text)
    return Scale(int(text) // 100 * 100)


class Command(BaseCommand):
    help = "Measure each job of the engine beside raw SQL that writes the same rows, in a scratch database of its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--scale",
            type=scale_of,
            default=DEFAULT,
            metavar="N",
            help=f"referrals, {LEAST} or more; default: {DEFAULT}",
        )
        parser.add_argument("--only", choices=NAMES, metavar="NAME", help=f"one job: {', '.join(NAMES)}")
        parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures too")

    def handle(self, *args: Any, scale: Scale, only: str | None, **options: Any) -> None:
        if (path := options["json"]) and not path.parent.is_dir():
            raise CommandError(f"--json: there is no folder {path.parent}")
        self.stdout.write(f"{scale.referrals} referrals; {machine()}")
        self.stdout.write(LINE.format(*HEADINGS))
        found = []
        try:
            for measured in bench(scale=scale, names=[only] if only else NAMES):
                found.append(measured)
                self.stdout.write(in_line(measured))
                self.stdout.flush()
        except (UnableToMakeScratchDatabase, UnableToCompare, UnableToRunCrowd) as fault:
            raise CommandError(str(fault)) from fault
        if path:
            path.write_text(json.dumps([asdict(measured) for measured in found], indent=2) + "\n")


def in_line(measured: Measured) -> str:
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
