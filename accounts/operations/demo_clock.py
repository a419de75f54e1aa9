"""What only the demo may do to accounts: move the clock, and make logins whose password everybody knows."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from accounts.retries import retried

FURTHEST = timedelta(days=36_500)

MOVE = """
INSERT INTO accounts_clockoffset AS clock (id, ahead) SELECT 1, %(by)s::interval WHERE %(by)s::interval <= %(furthest)s
ON CONFLICT (id) DO UPDATE SET ahead = clock.ahead + excluded.ahead
WHERE clock.ahead + excluded.ahead <= %(furthest)s
RETURNING ahead
"""


class UnableToMoveClock(Exception):
    """The clock stays: outside the demo (`demo`), backwards (`backwards`), or over a century ahead (`far`)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnableToOpenDemoLogin(Exception):
    """Outside the demo nobody gets a login with a known password (`demo`)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@retried
def move_clock(*, by: timedelta) -> timedelta:
    """Move the demo's clock on and return how far it runs ahead now. One statement: two moves at once add up.

    Time never goes back: what was granted at an instant must stay in the past. Raises UnableToMoveClock.
    """
    if not settings.DEMO:
        raise UnableToMoveClock("demo")
    if by <= timedelta():
        raise UnableToMoveClock("backwards")
    intervals: dict[str, Any] = {"by": by, "furthest": FURTHEST}
    with connection.cursor() as cursor:
        cursor.execute(MOVE, intervals)
        row = cursor.fetchone()
    if row is None:
        raise UnableToMoveClock("far")
    ahead: timedelta = row[0]
    return ahead


@retried
@transaction.atomic
def open_demo_login(*, email: str, password: str) -> None:
    """Let an account of the demo, whose address counts as confirmed, sign in with this password.

    Raises UnableToOpenDemoLogin outside the demo, User.DoesNotExist for an unknown address.
    """
    if not settings.DEMO:
        raise UnableToOpenDemoLogin("demo")
    user = User.objects.select_for_update(no_key=True, of=("self",)).get(email=email)
    user.set_password(password)
    user.save(update_fields=["password"])
    EmailAddress.objects.update_or_create(user=user, email=email, defaults={"verified": True, "primary": True})


@retried
@transaction.atomic
def hire_demo_staff(*, email: str, password: str, now: datetime) -> None:
    """Make the demo's member of staff, who may do everything in the admin; nothing where the address is known.

    Raises UnableToOpenDemoLogin outside the demo.
    """
    if not settings.DEMO:
        raise UnableToOpenDemoLogin("demo")
    with suppress(IntegrityError), transaction.atomic():
        User.objects.create_superuser(email, account_id="demo-staff", created_at=now)
    open_demo_login(email=email, password=password)
