import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.operations import keep_rates
from billing.reference_rates import SOURCE, UnableToReadRates, read_rates

LONGEST_WAIT = 60


class Command(BaseCommand):
    help = "Bring the exchange rates up to date from the European Central Bank's file of reference rates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", help="a file of the bank's that is here already, zipped or not")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            kept = keep_rates(rates=read_rates(self.content(options["file"])))
        except UnableToReadRates as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"rates={kept}")

    def content(self, path: str | None) -> bytes:
        try:
            if path:
                return Path(path).read_bytes()
            with urllib.request.urlopen(SOURCE, timeout=LONGEST_WAIT) as answer:  # noqa: S310  # https, by the constant
                return bytes(answer.read())
        except OSError as fault:
            raise CommandError(f"The rates cannot be read: {fault}") from fault
