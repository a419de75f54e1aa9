"""What the pages for newcomers read: links by their code, and what the programme offers at an instant."""

from datetime import datetime
from typing import NamedTuple

from billing.models import Product
from referrals.models import ProgrammeTerms, ReferralLink


class Offer(NamedTuple):
    """The programme's numbers in force, in dollars and days, and how many products the trial pays for."""

    terms: ProgrammeTerms
    trial_products: int


def offer(*, at: datetime) -> Offer:
    """Return what the programme offers (TERMS: What a new customer gets)."""
    return Offer(ProgrammeTerms.objects.in_force(at), Product.objects.filter(accepts_trial=True).count())


def working_link(*, code: str, at: datetime) -> ReferralLink | None:
    """Return the link with this code if it brings referrals at an instant, with its owner, however its letters are
    typed."""
    found = ReferralLink.objects.working(at=at).select_related("owner")
    return found.filter(code__in={code, code.lower()}).first()


def is_link(*, code: str) -> bool:
    """Whether there is a link with this code, working or not."""
    return ReferralLink.objects.filter(code__in={code, code.lower()}).exists()


def is_own_link(*, code: str, user_id: int) -> bool:
    """Whether the link with this code, on or off, is the user's own."""
    return ReferralLink.objects.filter(owner_id=user_id, code__in={code, code.lower()}).exists()
