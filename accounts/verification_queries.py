"""What the page of identity verification reads."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from accounts.models import AccountType, EligibilityMove, IdentityVerification, User

HIDDEN = "\N{BULLET}" * 3


class Progress(Enum):
    """How far verification has come."""

    TO_DO = "to_do"
    IN_REVIEW = "in_review"
    REFUSED = "refused"
    PASSED = "passed"


@dataclass(frozen=True)
class OtherAccount:
    """The eligible account of the same person, masked: enough for its owner to know it by."""

    masked: str
    registered_at: datetime


@dataclass(frozen=True)
class VerificationPage:
    """How far an account's verification has come, and what its person may do next.

    `upgrade` is how far that of an individual who has passed has come as an enterprise. Where the account is not the
    eligible one of its person, `other` is the one that is, if any; `has_moved` says that the person's one move is used
    up.
    """

    verification: IdentityVerification | None
    progress: Progress
    upgrade: Progress | None
    is_eligible: bool
    other: OtherAccount | None
    has_moved: bool

    @property
    def may_submit(self) -> bool:
        submits_again = self.upgrade in (Progress.TO_DO, Progress.REFUSED)
        return submits_again or self.progress in (Progress.TO_DO, Progress.REFUSED)

    @property
    def may_move(self) -> bool:
        return self.progress is Progress.PASSED and not self.is_eligible and not self.has_moved


def verification_page(*, customer_id: int) -> VerificationPage:
    """Return how far verification has come. At most three statements."""
    found = IdentityVerification.objects.filter(customer_id=customer_id).first()
    progress = _progress(found)
    lacks = progress is Progress.PASSED and found is not None and not found.is_eligible
    return VerificationPage(
        verification=found,
        progress=progress,
        upgrade=_upgrade(found),
        is_eligible=found is not None and found.is_eligible,
        other=_other_account(found) if lacks and found else None,
        has_moved=bool(lacks and found and EligibilityMove.objects.filter(identity_digest=found.identity_digest)),
    )


def masked(email: str) -> str:
    """An address of which its owner knows it, and nobody else: a•••@e•••.com."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}{HIDDEN}@{domain[:1]}{HIDDEN}.{domain.rpartition('.')[2]}"


def _progress(found: IdentityVerification | None) -> Progress:
    if found is None:
        return Progress.TO_DO
    if found.has_passed:
        return Progress.PASSED
    return Progress.IN_REVIEW if found.is_in_review else Progress(found.state)


def _upgrade(found: IdentityVerification | None) -> Progress | None:
    """How far an individual who has passed has come as an enterprise; None for everybody else."""
    if found is None or not found.has_passed or found.account_type == AccountType.ENTERPRISE:
        return None
    if found.is_in_review:
        return Progress.IN_REVIEW
    return Progress.REFUSED if found.refusal_reason else Progress.TO_DO


def _other_account(found: IdentityVerification) -> OtherAccount | None:
    """Only who has passed is told of it: otherwise a stolen number would find its owner's account. One that is closed
    refers nobody."""
    same_person = User.objects.filter(
        verification__identity_digest=found.identity_digest, verification__is_eligible=True, closed_at=None
    ).first()
    if same_person is None or same_person.registered_at is None:
        return None
    return OtherAccount(masked(same_person.email), same_person.registered_at)
