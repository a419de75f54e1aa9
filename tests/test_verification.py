"""Identity verification and payment methods, and what an enterprise gets on passing."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from djmoney.money import Money

from accounts.models import IdentityVerification, User
from accounts.operations import (
    Identity,
    UnableToAddPaymentMethod,
    UnableToVerify,
    add_payment_method,
    identity_digest,
    pass_verification,
    refuse_verification,
    remove_payment_method,
    sign_up,
)
from credits.models import Coupon, CouponEntry
from credits.operations import redeem
from referrals.models import ProgrammeTerms, Referral
from referrals.operations import disqualify, grant_enterprise_difference, lift_refusal, refuse, reinstate
from tests.facts import JANUARY, register
from tests.newcomers import NOW, identity

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


def verify(
    user: User, *, number: str = "P1", account_type: str = "individual", at: datetime = NOW
) -> IdentityVerification:
    return pass_verification(user_id=user.pk, identity=identity(number), account_type=account_type, now=at)


def upgrades_of(user: User) -> dict[str, tuple[Decimal, object]]:
    coupons = Coupon.objects.filter(customer_id=user.pk, source__contains="-upgrade:")
    return {coupon.kind: (coupon.amount.amount, coupon.expires_at) for coupon in coupons}


def test_identity_is_one_however_it_is_written() -> None:
    written = Identity("de", "ID card", "l01x-00 t47")
    assert identity_digest(written) == identity_digest(Identity("DE", "idcard", "L01X00T47"))
    assert identity_digest(identity("1")) != identity_digest(identity("2"))
    assert identity_digest(Identity("DE", "passport", "1")) != identity_digest(Identity("FR", "passport", "1"))


def test_number_is_never_stored(settings: object) -> None:
    alice = register("alice")
    digest = verify(alice, number="C01X00T478").identity_digest
    assert "C01X00T478" not in digest
    settings.IDENTITY_DIGEST_KEY = "another key"  # type: ignore[attr-defined]
    assert identity_digest(identity("C01X00T478")) != digest


@pytest.mark.parametrize("empty", ["country", "document_kind", "number"])
def test_identity_without_a_part_is_refused(empty: str) -> None:
    alice = register("alice")
    with pytest.raises(UnableToVerify) as refusal:
        pass_verification(
            user_id=alice.pk, identity=identity("P1")._replace(**{empty: " - "}), account_type="individual", now=NOW
        )
    assert refusal.value.code == "identity"


def test_first_account_verified_with_an_identity_is_the_eligible_one() -> None:
    alice, again, carol = register("alice"), register("alice2"), register("carol")
    assert verify(alice).is_eligible
    assert not verify(again).is_eligible
    assert verify(carol, number="P2").is_eligible


def test_account_passes_once() -> None:
    alice = register("alice")
    verify(alice)
    with pytest.raises(UnableToVerify) as refusal:
        verify(alice)
    assert refusal.value.code == "passed"
    with pytest.raises(UnableToVerify):
        refuse_verification(user_id=alice.pk)


def test_refused_account_may_pass_later() -> None:
    alice = register("alice")
    refuse_verification(user_id=alice.pk)
    assert alice.verification.state == "refused"
    assert verify(alice).state == "passed"


def test_unconfirmed_sign_up_is_not_verified_and_gets_no_payment_method() -> None:
    bob = sign_up(email="bob@example.com", password="correct-horse", country="DE", attribution={}, now=NOW)
    with pytest.raises(UnableToVerify) as refusal:
        verify(bob)
    assert refusal.value.code == "unregistered"
    with pytest.raises(UnableToAddPaymentMethod):
        add_payment_method(user_id=bob.pk, now=NOW)


def test_payment_method_on_file_keeps_its_instant_until_it_is_removed() -> None:
    alice = register("alice")
    add_payment_method(user_id=alice.pk, now=NOW)
    add_payment_method(user_id=alice.pk, now=NOW + DAY)
    alice.refresh_from_db()
    assert alice.payment_method_added_at == NOW
    remove_payment_method(user_id=alice.pk)
    alice.refresh_from_db()
    assert alice.payment_method_added_at is None


def test_friend_verified_as_an_enterprise_gets_the_difference_with_the_first_expiry() -> None:
    bob = register("bob", referred_by=register("alice"))
    verify(bob, account_type="enterprise", at=JANUARY + 10 * DAY)
    bob.refresh_from_db()
    assert bob.account_type == "enterprise"
    assert upgrades_of(bob) == {
        "trial": (Decimal(900), JANUARY + 365 * DAY),
        "welcome": (Decimal(5), JANUARY + 180 * DAY),
    }
    entries = CouponEntry.objects.filter(coupon__customer_id=bob.pk, coupon__source__contains="-upgrade:")
    assert {entry.occurred_at for entry in entries} == {JANUARY + 10 * DAY}


def test_customer_nobody_referred_gets_the_difference_of_the_trial_only() -> None:
    bob = register("bob")
    verify(bob, account_type="enterprise", at=JANUARY + DAY)
    assert upgrades_of(bob) == {"trial": (Decimal(900), JANUARY + 365 * DAY)}


def test_individual_verification_brings_no_difference() -> None:
    bob = register("bob")
    verify(bob)
    assert upgrades_of(bob) == {}


def test_individual_may_pass_again_as_an_enterprise_and_gets_the_difference_once() -> None:
    bob = register("bob")
    verify(bob, at=JANUARY)
    verify(bob, account_type="enterprise", at=JANUARY + DAY)
    assert grant_enterprise_difference(user_id=bob.pk, now=JANUARY + 2 * DAY) == 0
    with pytest.raises(UnableToVerify):
        verify(bob, account_type="enterprise", at=JANUARY + 2 * DAY)
    assert upgrades_of(bob) == {"trial": (Decimal(900), JANUARY + 365 * DAY)}


@pytest.mark.parametrize(
    ("later", "kinds"),
    [
        (180 * DAY - timedelta(seconds=1), {"trial", "welcome"}),
        (180 * DAY, {"trial"}),
        (365 * DAY - timedelta(seconds=1), {"trial"}),
        (365 * DAY, set()),
    ],
)
def test_difference_ends_with_the_first_coupon(later: timedelta, kinds: set[str]) -> None:
    bob = register("bob", referred_by=register("alice"))
    verify(bob, account_type="enterprise", at=JANUARY + later)
    assert set(upgrades_of(bob)) == kinds


def test_imported_enterprise_misses_nothing() -> None:
    bob = register("bob", referred_by=register("alice"), account_type="enterprise")
    verify(bob, account_type="enterprise", at=JANUARY + DAY)
    assert upgrades_of(bob) == {}


def test_difference_is_in_the_numbers_of_the_terms_at_registration() -> None:
    bob = register("bob", referred_by=register("alice"))
    ProgrammeTerms.objects.create(starts_at=JANUARY + DAY, trial_enterprise=5000, welcome_enterprise=50)
    verify(bob, account_type="enterprise", at=JANUARY + 2 * DAY)
    assert {kind: amount for kind, (amount, _) in upgrades_of(bob).items()} == {"trial": 900, "welcome": 5}


def test_refused_friend_gets_no_more_welcome_credit() -> None:
    bob = register("bob", referred_by=register("alice"))
    refuse(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="same person", now=JANUARY + DAY)
    verify(bob, account_type="enterprise", at=JANUARY + 2 * DAY)
    assert set(upgrades_of(bob)) == {"trial"}


def test_welcome_credit_revoked_does_not_come_back_by_verification_after_the_refusal_is_lifted() -> None:
    bob = register("bob", referred_by=register("alice"))
    referral = Referral.objects.get(friend=bob)
    refuse(referral_id=referral.pk, actor=None, reason="same person", now=JANUARY + DAY)
    lift_refusal(referral_id=referral.pk, actor=None, reason="another person", now=JANUARY + 2 * DAY)
    verify(bob, account_type="enterprise", at=JANUARY + 3 * DAY)
    assert set(upgrades_of(bob)) == {"trial"}


def test_welcome_difference_that_a_refusal_kept_back_follows_when_it_is_lifted() -> None:
    bob = register("bob", referred_by=register("alice"))
    referral = Referral.objects.get(friend=bob)
    redeem(
        source="test",
        redemption_id="all of it",
        customer_id=bob.pk,
        amount=Money(5, "USD"),
        occurred_at=JANUARY,
        now=JANUARY,
    )
    refuse(referral_id=referral.pk, actor=None, reason="same person", now=JANUARY + DAY)
    verify(bob, account_type="enterprise", at=JANUARY + 2 * DAY)
    assert set(upgrades_of(bob)) == {"trial"}
    lift_refusal(referral_id=referral.pk, actor=None, reason="another person", now=JANUARY + 3 * DAY)
    assert set(upgrades_of(bob)) == {"trial", "welcome"}


def test_disqualified_account_gets_no_difference_before_it_is_reinstated() -> None:
    bob = register("bob", referred_by=register("alice"))
    disqualify(user_id=bob.pk, actor=None, reason="fraud", now=JANUARY + DAY)
    verify(bob, account_type="enterprise", at=JANUARY + 2 * DAY)
    assert upgrades_of(bob) == {}
    reinstate(user_id=bob.pk, actor=None, reason="no fraud", now=JANUARY + 3 * DAY)
    assert set(upgrades_of(bob)) == {"trial", "welcome"}
