"""Verification as a customer submits it and staff decide it (TERMS: Who may refer)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import IdentityVerification, KnownIdentifier, OutboxMessage, User
from accounts.operations import (
    Identity,
    Submission,
    UnableToVerify,
    add_payment_method,
    decide_verification,
    identity_digest,
    pass_verification,
    refuse_verification,
    sign_up,
    submit_verification,
)
from credits.models import Coupon
from referrals.models import ReferralLink
from tests.facts import NOW, register
from tests.newcomers import identity

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + timedelta(days=1)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("staff@example.com", is_staff=True, created_at=NOW)


def submission(number: str = "C01X00T47", **told: Any) -> Submission:
    account_type = told.get("account_type", "individual")
    kind = "passport" if account_type == "individual" else "company_register"
    return Submission(account_type, told.get("name", "Alice Liddell"), Identity("DE", kind, number))


def submit(user: User, number: str = "C01X00T47", **told: Any) -> IdentityVerification:
    return submit_verification(user_id=user.pk, submission=submission(number, **told), now=NOW)


def decide(submitted: IdentityVerification, staff: User, reason: str = "", **told: Any) -> IdentityVerification:
    return decide_verification(
        verification_id=submitted.pk, passes=not reason, reason=reason, actor=staff, now=told.get("at", LATER)
    )


def refused(refusal: pytest.ExceptionInfo[UnableToVerify]) -> str:
    return refusal.value.code


def mails() -> list[tuple[str, dict[str, object]]]:
    return [(message.kind, message.facts) for message in OutboxMessage.objects.order_by("pk")]


def test_submission_is_in_review_and_keeps_three_characters_of_the_number(alice: User) -> None:
    submitted = submit(alice, "c01x 00-t47")
    assert (submitted.state, submitted.is_in_review) == ("in_review", True)
    assert (submitted.legal_name, submitted.country, submitted.document_kind) == ("Alice Liddell", "DE", "passport")
    assert submitted.number_tail == "T47"
    assert submitted.submitted_digest == identity_digest(Identity("DE", "passport", "C01X00T47"))
    assert (submitted.identity_digest, submitted.passed_at, mails()) == ("", None, [])


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"number": "-"}, "identity"),
        ({"number": "AB 12"}, "number"),
        ({"number": "AB-123", "name": "  "}, "name"),
    ],
)
def test_submission_that_lacks_something_is_refused(alice: User, told: dict[str, Any], code: str) -> None:
    with pytest.raises(UnableToVerify) as refusal:
        submit(alice, **told)
    assert refused(refusal) == code
    assert not IdentityVerification.objects.exists()


def test_number_of_five_characters_is_long_enough(alice: User) -> None:
    assert submit(alice, "AB-123").number_tail == "123"


def test_unconfirmed_sign_up_submits_nothing() -> None:
    bob = sign_up(email="bob@example.com", password="correct-horse", country="DE", attribution={}, now=NOW)
    with pytest.raises(UnableToVerify) as refusal:
        submit(bob)
    assert refused(refusal) == "unregistered"


def test_what_is_in_review_is_not_submitted_again(alice: User) -> None:
    submit(alice)
    with pytest.raises(UnableToVerify) as refusal:
        submit(alice, "ANOTHER-NUMBER")
    assert refused(refusal) == "in_review"


def test_passing_brings_the_link_and_a_mail_and_who_decided(alice: User, staff: User) -> None:
    add_payment_method(user_id=alice.pk, now=NOW)
    submitted = submit(alice)
    passed = decide(submitted, staff)
    assert (passed.state, passed.is_eligible, passed.is_in_review) == ("passed", True, False)
    assert passed.identity_digest == submitted.submitted_digest
    assert (passed.decided_at, passed.decided_by, passed.passed_at) == (LATER, staff, LATER)
    assert ReferralLink.objects.filter(owner=alice).exists()
    assert mails() == [("verification_decided", {"outcome": "passed", "reason": "", "account_type": "individual"})]


def test_identity_that_passes_is_known_from_then_on(alice: User, staff: User) -> None:
    submitted = submit(alice)
    assert not KnownIdentifier.objects.exists()
    decide(submitted, staff)
    known = KnownIdentifier.objects.get()
    assert (known.kind, known.digest, known.customer) == ("identity", submitted.submitted_digest, alice)


def test_fact_makes_the_identity_known_too_and_sends_no_mail(alice: User) -> None:
    pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=NOW)
    assert KnownIdentifier.objects.get().digest == identity_digest(identity("P1"))
    assert mails() == []


def test_refusal_says_why_and_may_be_followed_by_another_submission(alice: User, staff: User) -> None:
    turned_down = decide(submit(alice), staff, reason=" The name is not legible. ")
    assert (turned_down.state, turned_down.refusal_reason) == ("refused", "The name is not legible.")
    assert (turned_down.decided_by, turned_down.is_in_review) == (staff, False)
    facts = {"outcome": "refused", "reason": "The name is not legible.", "account_type": "individual"}
    assert mails() == [("verification_decided", facts)]
    again = submit_verification(user_id=alice.pk, submission=submission("L02" + "X999"), now=LATER)
    assert (again.state, again.refusal_reason, again.decided_at) == ("in_review", "", None)
    assert decide(again, staff, at=LATER).state == "passed"
    assert len(mails()) == 2


@pytest.mark.parametrize("reason", ["", "  "])
def test_refusal_needs_a_reason(alice: User, staff: User, reason: str) -> None:
    submitted = submit(alice)
    with pytest.raises(UnableToVerify) as refusal:
        decide_verification(verification_id=submitted.pk, passes=False, reason=reason, actor=staff, now=LATER)
    assert refused(refusal) == "reason"
    assert mails() == []


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_decided_twice(alice: User, staff: User, known: bool) -> None:
    submitted = submit(alice)
    decide(submitted, staff)
    with pytest.raises(UnableToVerify) as refusal:
        decide_verification(
            verification_id=submitted.pk if known else 0, passes=False, reason="Late.", actor=staff, now=LATER
        )
    assert refused(refusal) == "nothing"
    assert IdentityVerification.objects.get().state == "passed"


def test_second_account_with_the_document_passes_and_is_not_eligible(alice: User, staff: User) -> None:
    decide(submit(alice), staff)
    again = decide(submit(register("alice2")), staff)
    assert (again.state, again.is_eligible) == ("passed", False)


def test_first_verified_is_eligible_and_not_first_submitted(alice: User, staff: User) -> None:
    first, second = submit(alice), submit(register("alice2"))
    assert decide(second, staff).is_eligible
    assert not decide(first, staff).is_eligible


# As an enterprise


def test_individual_that_has_passed_stays_so_while_the_enterprise_is_in_review(alice: User, staff: User) -> None:
    add_payment_method(user_id=alice.pk, now=NOW)
    before = decide(submit(alice), staff)
    upgrade = submit(alice, "HRB-12345", account_type="enterprise", name="Liddell Ltd")
    assert (upgrade.state, upgrade.is_eligible, upgrade.is_in_review) == ("passed", True, True)
    assert (upgrade.identity_digest, upgrade.account_type) == (before.identity_digest, "individual")
    assert ReferralLink.objects.working(at=NOW).exists()
    alice.refresh_from_db()
    assert alice.account_type == "individual"


def test_enterprise_that_passes_gets_the_rest_of_the_trial(alice: User, staff: User) -> None:
    decide(submit(alice), staff)
    passed = decide(submit(alice, "HRB-12345", account_type="enterprise"), staff)
    assert (passed.account_type, passed.is_eligible) == ("enterprise", True)
    alice.refresh_from_db()
    assert alice.account_type == "enterprise"
    upgrades = Coupon.objects.filter(customer_id=alice.pk, source__contains="-upgrade:")
    assert [int(coupon.amount.amount) for coupon in upgrades] == [900]


def test_enterprise_that_is_refused_leaves_the_individual_as_it_was(alice: User, staff: User) -> None:
    add_payment_method(user_id=alice.pk, now=NOW)
    before = decide(submit(alice), staff)
    after = decide(submit(alice, "HRB-12345", account_type="enterprise"), staff, reason="No such company.")
    assert (after.state, after.is_eligible, after.account_type) == ("passed", True, "individual")
    assert (after.identity_digest, after.passed_at) == (before.identity_digest, before.passed_at)
    assert after.refusal_reason == "No such company."
    assert ReferralLink.objects.working(at=NOW).exists()
    assert submit(alice, "HRB-12346", account_type="enterprise").is_in_review


@pytest.mark.parametrize("first", ["individual", "enterprise"])
def test_who_has_passed_submits_nothing_else(alice: User, staff: User, first: str) -> None:
    decide(submit(alice, account_type=first), staff)
    with pytest.raises(UnableToVerify) as refusal:
        submit(alice, account_type=first)
    assert refused(refusal) == "passed"


# Facts, and the demo


@pytest.mark.parametrize("passes", [True, False])
def test_fact_makes_void_what_was_submitted(alice: User, passes: bool) -> None:
    submitted = submit(alice)
    if passes:
        pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="individual", now=LATER)
    else:
        refuse_verification(user_id=alice.pk)
    with pytest.raises(UnableToVerify) as refusal:
        decide_verification(verification_id=submitted.pk, passes=True, actor=None, now=LATER)
    assert refused(refusal) == "nothing"
    submitted.refresh_from_db()
    assert (submitted.number_tail == "") == passes


def test_demo_passes_at_once(alice: User) -> None:
    passed = submit_verification(user_id=alice.pk, submission=submission(), passes_at_once=True, now=NOW)
    assert (passed.state, passed.decided_at, passed.decided_by) == ("passed", NOW, None)
    assert passed.legal_name == "Alice Liddell"
    assert [kind for kind, _ in mails()] == ["verification_decided"]
