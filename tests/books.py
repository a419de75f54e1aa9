"""The books, proved within a test."""

from collections.abc import Collection
from datetime import UTC, datetime

from referral_site.audit import audit

# Before anything can have waited too long: a test runs no jobs but those that it is about.
EARLY = datetime(2025, 1, 1, tzinfo=UTC)


def breaches(*, now: datetime = EARLY) -> dict[str, list[str]]:
    """Return what each broken invariant has to say as of `now`, by its name."""
    return {finding.invariant.name: finding.lines for finding in audit(now=now) if finding.rows}


def assert_clean_audit(*, but_for: Collection[str] = ()) -> None:
    """Fail where an invariant of the books is broken, `but_for` those named, with the rows that break it."""
    broken = {name: lines for name, lines in breaches().items() if name not in but_for}
    assert not broken, "\n" + "\n".join(line for lines in broken.values() for line in lines)
