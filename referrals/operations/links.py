"""Links are given once, when their owner may refer (TERMS: Who may refer)."""

import secrets
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from accounts.models import IdentityVerification, User, usable_payment_method
from accounts.operations import UnableToMoveEligibility
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
    if not _may_refer(user_id, now):
        return None
    ReferralLink.objects.bulk_create(
        [ReferralLink(owner_id=user_id, code=new_code(), created_at=now)], ignore_conflicts=True
    )
    return ReferralLink.objects.get(owner_id=user_id)


@transaction.atomic
def carry_link(*, user_id: int, from_user_id: int | None, by_person: bool, now: datetime) -> ReferralLink | None:
    """Give the account to which eligibility has moved its link; that of the account it has left works no more.

    A person does not get away from a link that staff have switched off; one that went off as its account closed is no
    such link. Raises UnableToMoveEligibility: link_off.
    """
    by_closing = Q(owner__closed_at__isnull=False, switched_off_at=F("owner__closed_at"))
    off = ReferralLink.objects.filter(~by_closing, owner_id=from_user_id, switched_off_at__isnull=False)
    if by_person and off.exists():
        raise UnableToMoveEligibility("link_off")
    return give_link(user_id=user_id, now=now)


def _may_refer(user_id: int, now: datetime) -> bool:
    return User.objects.filter(
        usable_payment_method(now),
        pk=user_id,
        registered_at__isnull=False,
        verification__state=IdentityVerification.State.PASSED,
        verification__is_eligible=True,
        disqualified_at__isnull=True,
        is_active=True,
    ).exists()
