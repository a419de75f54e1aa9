"""An account is closed: what that ends for its customer, what goes on for others, and what stays known (TERMS: When
things change)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client
from djmoney.money import Money

from accounts.models import KnownIdentifier, OutboxMessage, User
from accounts.operations import UnableToClose, add_payment_method, address_digest, identity_digest, pass_verification
from billing.gateways import Card
from billing.operations import add_card
from credits.models import Coupon, CouponEntry, DebtEntry
from credits.operations import give_back, open_accounts, redeem
from referrals.models import Clawback, Referral, ReferralLink, Reward
from referrals.operations import (
    UnableToDecide,
    admit,
    close_account,
    disqualify,
    lift_refusal,
    open_flag,
    refuse,
    registration,
    reinstate,
    release_flag,
    settle,
    switch_link_on,
)
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, register
from tests.newcomers import PASSWORD, identity, referrer, sign_up

pytestmark = pytest.mark.django_db(transaction=True)

BY: dict[str, Any] = {"actor": None, "reason": "a test", "now": NOW}


@pytest.fixture
def alice() -> User:
    return referrer("alice", at=JANUARY).owner


@pytest.fixture
def bob(alice: User) -> User:
    return register("bob", referred_by=alice)


def grant_a_payout(alice: User, bob: User) -> None:
    """Bob spends $120, and alice gets her payout of $20."""
    record(fact(bob, "bob-120", "120", day(1, 5)))
    settle(as_of=day(2, 10), now=NOW)


def left(user: User) -> Decimal:
    return sum((coupon.remaining.amount for coupon in Coupon.objects.filter(customer=user.pk)), Decimal(0))


def spend(user: User, amount: str, at: Any) -> None:
    dollars = Money(amount, "USD")
    redeem(source="t", redemption_id="order", customer_id=user.pk, amount=dollars, occurred_at=at, now=NOW)


# For the customer


def test_all_coupons_are_revoked_the_trial_too(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    closed = close_account(user_id=alice.pk, now=day(2, 11))
    assert (closed.revoked, left(alice)) == (Decimal("320.00"), Decimal(0))
    entries = CouponEntry.objects.filter(coupon__customer=alice.pk, type="REVOKE")
    assert {entry.reference for entry in entries} == {f"closing:{alice.pk}"}


def test_a_coupon_that_has_expired_by_then_expires_and_is_not_revoked(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    expiry = day(2, 10) + timedelta(days=180)
    assert close_account(user_id=alice.pk, now=expiry).revoked == Decimal("300.00")
    assert Coupon.objects.get(kind="payout").expired == Money(20, "USD")


def test_a_coupon_that_expires_a_moment_later_is_revoked(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    expiry = day(2, 10) + timedelta(days=180)
    assert close_account(user_id=alice.pk, now=expiry - timedelta(seconds=1)).revoked == Decimal("320.00")


def test_what_an_order_gives_back_later_is_revoked_at_once(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    spend(alice, "15", day(2, 11))
    close_account(user_id=alice.pk, now=day(2, 12))
    amount, at = Money(15, "USD"), day(2, 13)
    give_back(source="t", redemption_id="order", return_id="back", amount=amount, occurred_at=at, now=NOW)
    assert left(alice) == 0


def test_debts_are_written_off(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    spend(alice, "15", day(2, 11))
    record(chargeback(bob, "lost", "120", "bob-120"))
    settle(as_of=day(2, 12), now=NOW)
    assert close_account(user_id=alice.pk, now=day(2, 13)).written_off == Decimal("15.00")
    entry = DebtEntry.objects.get(type="WRITE_OFF")
    assert (entry.amount, entry.balance_after) == (Money(-15, "USD"), Money(0, "USD"))


def test_what_is_not_granted_lapses(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    close_account(user_id=alice.pk, now=day(2, 11))
    assert str(settle(as_of=NOW, now=NOW)) == "tracked=0 customers=1 expired=1 clawed_back=0 granted=0 amount=0.00"
    assert Reward.objects.count() == 1
    assert Referral.objects.get().bonus_earned == Money(10, "USD")


def test_control_an_open_account_gets_its_bonus(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    settle(as_of=NOW, now=NOW)
    assert Reward.objects.count() == 2


def test_nothing_is_clawed_back_any_more(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    close_account(user_id=alice.pk, now=day(2, 11))
    record(chargeback(bob, "lost", "120", "bob-120"))
    settle(as_of=NOW, now=NOW)
    record(dispute_won(bob, "won", "120", "bob-120"))
    settle(as_of=NOW, now=NOW)
    assert not Clawback.objects.exists()
    assert Reward.objects.count() == 1


def test_nobody_registers_through_the_link_any_more(alice: User, client: Client) -> None:
    close_account(user_id=alice.pk, now=NOW)
    link = ReferralLink.objects.get(owner=alice)
    assert link.switched_off_at == NOW
    assert not ReferralLink.objects.working(at=NOW).exists()
    with pytest.raises(UnableToDecide, match="closed"):
        switch_link_on(user_id=alice.pk, **BY)


def test_the_cards_go_and_stay_known(alice: User) -> None:
    card = Card("pm-1", "visa", "4242", 12, 2030, "fingerprint")
    method = add_card(customer_id=alice.pk, gateway="sandbox", card=card, now=NOW)
    close_account(user_id=alice.pk, now=NOW)
    method.refresh_from_db()
    alice.refresh_from_db()
    assert (method.removed_at, alice.payment_method_added_at) == (NOW, None)
    assert KnownIdentifier.objects.filter(kind="card", customer=alice).count() == 1


def test_a_disqualification_that_is_taken_back_leaves_the_link_off(alice: User) -> None:
    disqualify(user_id=alice.pk, **BY)
    close_account(user_id=alice.pk, now=NOW)
    reinstate(user_id=alice.pk, **BY)
    assert ReferralLink.objects.get(owner=alice).switched_off_at == NOW


def test_nobody_signs_in_any_more(alice: User, client: Client) -> None:
    alice.set_password(PASSWORD)
    alice.save(update_fields=["password"])
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    Authenticator.objects.create(user=alice, type="totp", data={})
    client.force_login(alice)
    assert client.get("/console/").status_code == 200
    close_account(user_id=alice.pk, now=NOW)
    assert client.get("/console/").status_code == 302
    answer = Client().post("/accounts/login/", {"login": "alice@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    assert not Authenticator.objects.exists()
    assert not EmailAddress.objects.exists()


def test_a_last_mail_goes_to_the_address_that_it_had(alice: User, bob: User) -> None:
    grant_a_payout(alice, bob)
    close_account(user_id=alice.pk, now=day(2, 11))
    farewell = OutboxMessage.objects.get(kind="account_closed")
    assert (farewell.recipient, farewell.customer) == ("alice@example.com", alice)
    assert farewell.facts == {"revoked_amount": "320.00", "written_off_amount": "0.00"}


@pytest.mark.parametrize(("who", "code"), [("nobody", "unknown"), ("staff", "staff"), ("alice", "already")])
def test_an_account_is_closed_once_by_its_customer(alice: User, who: str, code: str) -> None:
    close_account(user_id=alice.pk, now=NOW)
    staff = User.objects.create_user("staff@example.com", is_staff=True, created_at=NOW, registered_at=None)
    User.objects.filter(pk=staff.pk).update(registered_at=NOW)
    register_credit(staff)
    with pytest.raises(UnableToClose) as refusal:
        close_account(user_id={"nobody": 0, "staff": staff.pk, "alice": alice.pk}[who], now=NOW)
    assert refusal.value.code == code


def register_credit(user: User) -> None:
    """What every registered account has."""
    admit(user_ids=[user.pk], now=NOW)


# For others


def test_what_a_closed_friend_earned_is_still_paid(alice: User, bob: User) -> None:
    record(fact(bob, "bob-120", "120", day(1, 5)))
    close_account(user_id=bob.pk, now=day(1, 6))
    settle(as_of=day(5, 5), now=NOW)
    assert {reward.kind: reward.amount.amount for reward in Reward.objects.all()} == {"payout": 20, "bonus": 10}
    record(chargeback(bob, "lost", "120", "bob-120"))
    settle(as_of=day(5, 6), now=NOW)
    assert Clawback.objects.count() == 2


def test_a_hold_that_ends_after_the_closing_gives_the_friend_nothing(alice: User) -> None:
    cem = User.objects.create(
        account_id="cem",
        email="cem@example.com",
        created_at=JANUARY,
        registered_at=JANUARY,
        signup_attribution={"referred_by": "alice"},
    )
    hold_before_admission(cem)
    close_account(user_id=cem.pk, now=day(1, 2))
    release_flag(flag_id=Referral.objects.get(friend=cem).flags.get().pk, **BY)
    assert not Coupon.objects.filter(customer=cem.pk).exists()


def hold_before_admission(user: User) -> None:
    """A hold that is opened before trial and welcome credit are given makes them wait."""
    open_accounts(customer_ids=[user.pk])
    with connection.cursor() as cursor:
        cursor.execute(registration.REFER, {"users": [user.pk], "working_links": [], "known": [], "now": NOW})
    referral = Referral.objects.get(friend=user)
    open_flag(referral_id=referral.pk, rule="r", severity="hold", evidence={}, actor=None, reason="a test", now=NOW)


def test_a_refusal_that_is_lifted_after_the_closing_gives_nothing_back(alice: User, bob: User) -> None:
    early = {**BY, "now": day(1, 3)}
    spend(bob, "5", day(1, 2))
    close_account(user_id=bob.pk, now=day(1, 3))
    referral = Referral.objects.get()
    refuse(referral_id=referral.pk, **early)
    lift_refusal(referral_id=referral.pk, **early)
    amount, at = Money(5, "USD"), day(1, 4)
    give_back(source="t", redemption_id="order", return_id="back", amount=amount, occurred_at=at, now=NOW)
    assert left(bob) == 0


# Who comes back


def test_the_address_is_free_and_stays_known(alice: User) -> None:
    close_account(user_id=alice.pk, now=NOW)
    alice.refresh_from_db()
    assert alice.email == f"closed-{alice.pk}@closed.invalid"
    known = KnownIdentifier.objects.get(kind="email")
    assert (known.digest, known.customer) == (address_digest("ALICE@example.com"), alice)
    assert alice.verification.identity_digest == identity_digest(identity("P-alice"))


def test_whoever_comes_back_brings_no_referral_and_no_welcome_credit(client: Client, alice: User) -> None:
    carol = register("carol")
    close_account(user_id=carol.pk, now=NOW)
    client.get(f"/r/{ReferralLink.objects.get().code}/")
    again = sign_up(client, "carol@example.com")
    assert again.pk != carol.pk
    assert again.signup_attribution["code"]
    assert not Referral.objects.filter(friend=again).exists()
    assert [coupon.kind for coupon in Coupon.objects.filter(customer=again.pk)] == ["trial"]


def test_control_another_address_brings_both(client: Client, alice: User) -> None:
    close_account(user_id=register("carol").pk, now=NOW)
    client.get(f"/r/{ReferralLink.objects.get().code}/")
    dora = sign_up(client, "dora@example.com")
    assert Referral.objects.filter(friend=dora).exists()


def test_a_closed_account_that_is_verified_after_all_gets_no_link(client: Client) -> None:
    carol = register("carol")
    close_account(user_id=carol.pk, now=NOW)
    add_payment_method(user_id=carol.pk, now=NOW)
    pass_verification(user_id=carol.pk, identity=identity("C"), account_type="enterprise", now=NOW)
    assert not ReferralLink.objects.filter(owner=carol).exists()
    assert Coupon.objects.filter(customer=carol.pk).count() == 1
