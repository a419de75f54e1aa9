"""`settle [--as-of T]`: track, then settle every customer with something due at T."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from referrals.operations import settle


def instant(text: str) -> datetime:
    """Read an RFC 3339 time with its offset."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--as-of: {text!r} is not an RFC 3339 time, like 2026-02-19T00:00:00Z") from None
    if value.tzinfo is None:
        raise CommandError(f"--as-of: {text!r} has no offset; write 2026-02-19T00:00:00Z for UTC")
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
