"""New versions of the programme's terms. A version that has started never changes (TERMS: Programme terms)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from accounts.retries import retried
from referrals.models import ProgrammeTerms

# An account may register up to 5 minutes in the future (TERMS: `time`), and keeps the terms in force then: these must
# be known by now.
NOTICE = timedelta(minutes=5)

NUMBERS = [field.name for field in ProgrammeTerms._meta.fields if not field.primary_key]

REASONS = {
    "started": "Terms start more than 5 minutes from now; those that have started never change.",
    "starts_at": "Another version starts at that instant.",
}


class UnableToSetTerms(Exception):
    """The terms stay as they are; `code` is `started` or `starts_at`."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


def require_notice(*, starts_at: datetime, now: datetime) -> None:
    """Raise UnableToSetTerms("started") unless terms of this start may still be set at `now`."""
    if starts_at <= now + NOTICE:
        raise UnableToSetTerms("started")


@retried
def add_terms(*, terms: ProgrammeTerms, now: datetime) -> ProgrammeTerms:
    """Add a version that starts later; amounts in US dollars, days of 24 hours. Raises UnableToSetTerms."""
    require_notice(starts_at=terms.starts_at, now=now)
    with _unique_start(), transaction.atomic():
        terms.save(force_insert=True)
    return terms


@retried
def change_terms(*, terms: ProgrammeTerms, now: datetime) -> None:
    """Give a version that has not started all the numbers of `terms`, its start included. Raises UnableToSetTerms."""
    require_notice(starts_at=terms.starts_at, now=now)
    numbers = {name: getattr(terms, name) for name in NUMBERS}
    with _unique_start(), transaction.atomic():
        if not ProgrammeTerms.objects.filter(pk=terms.pk, starts_at__gt=now + NOTICE).update(**numbers):
            raise UnableToSetTerms("started")


@contextmanager
def _unique_start() -> Iterator[None]:
    """Turn the conflict of two versions with one start into a refusal."""
    try:
        yield
    except IntegrityError as conflict:
        if "starts_at" not in str(conflict):
            raise
        raise UnableToSetTerms("starts_at") from conflict
