"""The books, proved within a test."""

from referral_site.audit import audit


def breaches() -> dict[str, list[str]]:
    """Return what each broken invariant has to say, by its name."""
    return {finding.invariant.name: finding.lines for finding in audit() if finding.rows}


def assert_clean_audit() -> None:
    """Fail where any invariant of the books is broken, with the rows that break it."""
    broken = breaches()
    assert not broken, "\n" + "\n".join(line for lines in broken.values() for line in lines)
