"""Links are given once, when their owner may refer (TERMS: Who may refer)."""

import secrets
from datetime import datetime

from django.db import transaction

from accounts.models import IdentityVerification, User
from accounts.retries import retried
from referrals.models import ReferralLink

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Small letters and digits that nobody mistakes for one another."""

CODE_LENGTH = 13
"""Enough for 64 bits that nobody guesses."""


def new_code() -> str:
    """Return a code that nobody can guess."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


@retried
@transaction.atomic
def give_link(*, user_id: int, now: datetime) -> ReferralLink | None:
    """Give an account its link once it may refer, and return it; None while it may not. The one it has stays.

    The unique key on the owner makes it one link, however often and from wherever this is called.
    """
    if not _may_refer(user_id):
        return None
    ReferralLink.objects.bulk_create(
        [ReferralLink(owner_id=user_id, code=new_code(), created_at=now)], ignore_conflicts=True
    )
    return ReferralLink.objects.get(owner_id=user_id)


def _may_refer(user_id: int) -> bool:
    return User.objects.filter(
        pk=user_id,
        registered_at__isnull=False,
        payment_method_added_at__isnull=False,
        verification__state=IdentityVerification.State.PASSED,
        verification__is_eligible=True,
        disqualified_at__isnull=True,
        is_active=True,
    ).exists()
