"""`manage.py audit`: prove the books."""

from typing import Any

from django.core.management.base import BaseCommand

from accounts import clock
from referral_site.audit import audit


class Command(BaseCommand):
    help = "Check every invariant of the books over all rows; print what breaks one, and then exit 1."

    def handle(self, *args: Any, **options: Any) -> None:
        checked = failed = 0
        for finding in audit(now=clock.now()):
            checked += 1
            failed += bool(finding.rows)
            for line in finding.lines:
                self.stdout.write(line)
        self.stdout.write(f"checked={checked} failed={failed}")
        if failed:
            raise SystemExit(1)
