"""`settle [--as-of T]`: track, then settle every customer with something due at T."""

import re
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from referrals.operations import settle

FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII | re.IGNORECASE,
)
# Credit issued in the last years that there are would expire in none.
YEARS = range(2, 9000)


def instant(text: str) -> datetime:
    """Read an RFC 3339 time with its offset, in the form in which the files have theirs."""
    try:
        value = datetime.fromisoformat(text.upper()) if FORM.fullmatch(text) else None
    except ValueError:
        value = None
    if value is None or value.year not in YEARS:
        raise CommandError(f"--as-of: {text!r} is not an RFC 3339 time with its offset, like 2026-02-19T00:00:00Z")
    return value


class Command(BaseCommand):
    help = "Track all spend, then settle every customer with something due: expire, claw back, grant."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--as-of", metavar="T", help="the instant to settle as of (RFC 3339); default: now")
        parser.add_argument("--chunk-size", type=int, default=1000, help="customers a transaction; default: 1000")

    def handle(self, *args: Any, as_of: str | datetime | None, chunk_size: int, **options: Any) -> None:
        if chunk_size < 1:
            raise CommandError("--chunk-size must be at least 1")
        now = clock.now()
        at = instant(as_of) if isinstance(as_of, str) else as_of or now
        self.stdout.write(str(settle(as_of=at, now=now, chunk_size=chunk_size)))
