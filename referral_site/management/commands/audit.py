"""`manage.py audit`: prove the books."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts import clock
from accounts.management.importing import positive
from referral_site.audit import INVARIANTS, MOST_ROWS, Finding, audit


class Command(BaseCommand):
    help = (
        "Check every invariant of the books over all rows; print what breaks one, and then exit 1. "
        "On a terminal, and with --verbosity 2, say how long each took."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--rows",
            type=positive,
            default=MOST_ROWS,
            metavar="N",
            help="rows to print of an invariant at most; the others are counted (%(default)s)",
        )

    def handle(self, *args: Any, rows: int, verbosity: int, **options: Any) -> None:
        tells_times = verbosity > 1 or sys.stderr.isatty()
        checked = failed = 0
        for finding in audit(now=clock.now(), most_rows=rows):
            checked += 1
            failed += bool(finding.rows)
            for line in finding.lines:
                self.stdout.write(line)
            if tells_times:
                self.stderr.write(in_time(finding, checked), style_func=str)
        self.stdout.write(f"checked={checked} failed={failed}")
        if failed:
            raise SystemExit(1)


def in_time(finding: Finding, checked: int) -> str:
    """Say how far the audit has come, and how long the last statement took."""
    return f"{checked}/{len(INVARIANTS)} {finding.seconds:.1f} s {finding.invariant.name}"
