"""What the programme says of itself: the versions of its terms, and the cards of *Share these benefits*."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Q

from referrals.models import BenefitCard, ProgrammeTerms, Referral


class Version(NamedTuple):
    """A version of the terms, when the next one replaced it (None: in force), how many of the reader's referrals keep
    it, and whether the reader's own does."""

    terms: ProgrammeTerms
    ended_at: datetime | None
    referrals: int
    is_own: bool


def benefit_cards() -> list[BenefitCard]:
    """Return the cards that are shown, in their order, with their products."""
    cards = BenefitCard.objects.filter(is_visible=True).select_related("product")
    return list(cards.order_by("position", "pk"))


def versions(*, at: datetime, user_id: int | None) -> list[Version]:
    """Return the versions of the terms that have started, the newest first; and for a reader, whose keeps which."""
    started = list(ProgrammeTerms.objects.filter(starts_at__lte=at).order_by("-starts_at"))
    kept = _kept_by(user_id) if user_id else {}
    ends = [None, *(terms.starts_at for terms in started)]
    return [Version(terms, end, *kept.get(terms.pk, (0, False))) for terms, end in zip(started, ends, strict=False)]


def started_terms(*, pk: int, at: datetime) -> ProgrammeTerms | None:
    """Return a version of the terms by its key, if it has started."""
    return ProgrammeTerms.objects.filter(pk=pk, starts_at__lte=at).first()


def _kept_by(user_id: int) -> dict[int, tuple[int, bool]]:
    """How many of the user's referrals keep a version, and whether their own does, by its key."""
    made, own = Q(referrer_id=user_id), Q(friend_id=user_id)
    rows = (
        Referral.objects.filter(made | own)
        .values_list("terms_id")
        .annotate(made=Count("pk", filter=made), own=Count("pk", filter=own))
    )
    return {terms_id: (number, bool(is_own)) for terms_id, number, is_own in rows}
