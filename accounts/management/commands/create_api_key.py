from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from accounts.models import ApiKey
from accounts.operations import UnableToCreateKey, create_api_key


class Command(BaseCommand):
    help = "Make a key for the API and print it: it is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="whose key it is")
        parser.add_argument(
            "--scope", nargs="+", action="extend", required=True, choices=ApiKey.Scope.values, help="what it may do"
        )
        parser.add_argument("--network", nargs="+", action="extend", default=[], help="ranges that it is good from")
        parser.add_argument("--days", type=int, help="how long it is good (default: until it is revoked)")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        days = options["days"]
        try:
            _, secret = create_api_key(
                name=options["name"],
                scopes=options["scope"],
                networks=options["network"],
                expires_at=now + timedelta(days=days) if days is not None else None,
                actor=None,
                now=now,
            )
        except (UnableToCreateKey, OverflowError) as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(secret)
