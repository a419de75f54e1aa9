"""Whether a customer may refer, and what is missing if not (TERMS: Who may refer)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from django.conf import settings
from django.db.models import Exists, OuterRef

from accounts.models import EligibilityMove, IdentityVerification, User


class Verification(Enum):
    """How far identity verification has come, or what else it found."""

    NOT_STARTED = "not_started"
    IN_REVIEW = "in_review"
    REFUSED = "refused"
    PASSED = "passed"
    OTHER_ACCOUNT = "other_account"


class Step(Enum):
    """What a customer still has to do, or to wait for, before they may refer."""

    PAYMENT_METHOD = "payment_method"
    VERIFICATION = "verification"
    LINK = "link"


@dataclass(frozen=True)
class Standing:
    """Whether the customer may refer, and if not, what is missing or why not.

    `address` is the link's, `link_id` its pk; `has_moved`: the person's one move between their accounts is used up;
    `card_has_expired` where a payment method was on file and is none now.
    """

    has_payment_method: bool
    card_has_expired: bool
    verification: Verification
    has_moved: bool
    is_disqualified: bool
    link_is_off: bool
    link_id: int | None
    address: str | None

    @property
    def is_eligible(self) -> bool:
        return self.has_payment_method and self.verification is Verification.PASSED and not self.is_disqualified

    @property
    def may_refer(self) -> bool:
        return self.is_eligible and not self.link_is_off

    @property
    def next_step(self) -> Step | None:
        """The first thing that is missing; none where nothing is, or where the customer cannot do anything."""
        if self.is_disqualified or self.verification is Verification.OTHER_ACCOUNT or self.link_is_off:
            return None
        if not self.has_payment_method:
            return Step.PAYMENT_METHOD
        if self.verification is not Verification.PASSED:
            return Step.VERIFICATION
        return None if self.address else Step.LINK


def customer_with_standing(customer_id: int) -> User:
    """Return the customer with all that `standing_of` reads, and their own referral. One statement."""
    moves = EligibilityMove.objects.filter(identity_digest=OuterRef("verification__identity_digest"))
    customers = User.objects.select_related("verification", "referral_link", "referral")
    return customers.annotate(has_moved=Exists(moves)).get(pk=customer_id)


def standing_of(customer: User, *, now: datetime) -> Standing:
    """Return where the customer stands, from what `customer_with_standing` has loaded."""
    link = getattr(customer, "referral_link", None)
    has_method = customer.has_payment_method(now)
    return Standing(
        has_payment_method=has_method,
        card_has_expired=customer.payment_method_added_at is not None and not has_method,
        verification=_verification(getattr(customer, "verification", None)),
        has_moved=customer.has_moved,  # type: ignore[attr-defined]  # annotated by customer_with_standing
        is_disqualified=customer.disqualified_at is not None,
        link_is_off=link is not None and link.switched_off_at is not None,
        link_id=link.pk if link else None,
        address=f"{settings.SITE_URL}/r/{link.code}" if link else None,
    )


def _verification(found: IdentityVerification | None) -> Verification:
    if found is None:
        return Verification.NOT_STARTED
    if found.state == IdentityVerification.State.PASSED and not found.is_eligible:
        return Verification.OTHER_ACCOUNT
    return Verification(found.state)
