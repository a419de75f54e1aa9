"""`manage.py createsuperuser`: the first member of staff."""

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from accounts import clock


class Command(createsuperuser.Command):
    # Django's own asks for nothing but the address and the password. The database holds addresses unique by lower case,
    # which Django does not recognise.
    username_is_unique = True

    def handle(self, *args: Any, **options: Any) -> None:
        """Open the account as of now."""
        super().handle(*args, **options | {"created_at": options.get("created_at") or clock.now()})
