"""Which of a person's accounts is the eligible one: moved once by the person, later by staff (TERMS: Who may refer)."""

from datetime import datetime
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import EligibilityMove, IdentityVerification, User
from accounts.retries import retried
from accounts.signals import eligibility_moved


class UnableToMoveEligibility(Exception):
    """Eligibility stays where it is; `code` is one of `reasons`."""

    reasons = {
        "not_passed": _("The account has not passed verification."),
        "eligible": _("The account is the eligible one already."),
        "moved": _(
            "You have moved your referral link between your accounts before. To move it again, ask our support."
        ),
        "disqualified": _("One of the two accounts may not refer friends."),
        "link_off": _("The link of your other account was switched off by us. To move it, ask our support."),
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


class _Person(NamedTuple):
    """The account that is to become eligible, and the one that is so now, if any."""

    mine: IdentityVerification
    holder: IdentityVerification | None


@retried
def move_eligibility(*, user_id: int, now: datetime) -> None:
    """Make the person's account the eligible one in place of another of theirs, once for each identity.

    The old account's link stops working; the new one's owner gets a link. Where no account is eligible any more, this
    one becomes so, and the one move stays. Nobody moves away from a disqualification. Locks the Users of the identity
    by pk. Raises UnableToMoveEligibility.
    """
    with transaction.atomic():
        person = _lock_person(user_id)
        if _is_disqualified(person):
            raise UnableToMoveEligibility("disqualified")
        if person.holder:
            _record_move(person.mine, person.holder, now)
        _hand_over(person, by_person=True, now=now)


def give_eligibility(*, user_id: int, now: datetime) -> None:
    """Make the account the eligible one of its person, as staff decide; as often as they decide it.

    For the operation that records the decision.

    Locks the Users of the identity by pk. Raises UnableToMoveEligibility: not_passed, eligible.
    """
    with transaction.atomic():
        _hand_over(_lock_person(user_id), by_person=False, now=now)


def _lock_person(user_id: int) -> _Person:
    # Two moves of one person at once: the second waits for every account of the person, and reads who is eligible then.
    of_person = IdentityVerification.objects.filter(customer_id=user_id).exclude(identity_digest="")
    accounts = User.objects.filter(verification__identity_digest__in=of_person.values("identity_digest"))
    list(accounts.order_by("pk").select_for_update(no_key=True, of=("self",)).values_list("pk", flat=True))
    return _read_person(user_id)


def _read_person(user_id: int) -> _Person:
    mine = IdentityVerification.objects.select_related("customer").filter(customer_id=user_id).first()
    if mine is None or not mine.has_passed:
        raise UnableToMoveEligibility("not_passed")
    if mine.is_eligible:
        raise UnableToMoveEligibility("eligible")
    same = IdentityVerification.objects.select_related("customer").filter(identity_digest=mine.identity_digest)
    return _Person(mine, same.filter(is_eligible=True).first())


def _is_disqualified(person: _Person) -> bool:
    accounts = [verification.customer for verification in person if verification]
    return any(account.disqualified_at for account in accounts)


def _record_move(mine: IdentityVerification, holder: IdentityVerification, now: datetime) -> None:
    """Use up the person's one move: the unique key of the identity decides."""
    try:
        with transaction.atomic():
            EligibilityMove.objects.create(
                identity_digest=mine.identity_digest,
                from_account_id=holder.customer_id,
                to_account_id=mine.customer_id,
                moved_at=now,
            )
    except IntegrityError as conflict:
        if "identity_digest" not in str(conflict):
            raise
        raise UnableToMoveEligibility("moved") from conflict


def _hand_over(person: _Person, *, by_person: bool, now: datetime) -> None:
    mine, holder = person
    same = IdentityVerification.objects.filter(identity_digest=mine.identity_digest)
    same.filter(is_eligible=True).update(is_eligible=False)
    same.filter(pk=mine.pk).update(is_eligible=True)
    eligibility_moved.send(
        sender=User,
        user_id=mine.customer_id,
        from_user_id=holder.customer_id if holder else None,
        by_person=by_person,
        now=now,
    )
