"""Sign-ups that nobody confirmed, by the terms' own count of days."""

from datetime import datetime, timedelta

from accounts import operations as accounts
from referrals.models import ProgrammeTerms


def discard_unconfirmed(*, now: datetime) -> int:
    """Delete the sign-ups that have waited for their address as long as the terms in force let them; return how many.

    TERMS: What a new customer gets. Locks what it deletes, a thousand to a transaction.
    """
    days = ProgrammeTerms.objects.in_force(now).unconfirmed_days
    return accounts.discard_unconfirmed(before=now - timedelta(days=days))
