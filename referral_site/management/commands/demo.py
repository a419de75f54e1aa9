"""`manage.py demo`: people to look around with."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from referral_site.demo.story import LOGINS, load_demo


class Command(BaseCommand):
    help = "Load the demo's people, once (REFERRAL_DEMO=1): a referrer with friends at every stage."

    def handle(self, *args: Any, **options: Any) -> None:
        """Load what is not there yet, and say who can sign in."""
        if not settings.DEMO:
            raise CommandError("The demo's people are for the demo only: set REFERRAL_DEMO=1.")
        loaded = load_demo(now=clock.now())
        self.stdout.write("The demo is loaded." if loaded else "The demo was loaded before.")
        for login in LOGINS:
            self.stdout.write(f"  {login}  {settings.DEMO_PASSWORD}")
