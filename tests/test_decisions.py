"""Holds, refusals, disqualifications and links: what staff decide, and what follows from it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from djmoney.money import Money

from accounts.models import User
from credits.models import Coupon, CouponEntry, CreditAccount
from credits.operations.redemptions import UnableToRedeem, redeem
from credits.operations.returns import give_back
from referrals.models import Decision, FraudFlag, Referral, ReferralLink
from referrals.operations import (
    UnableToDecide,
    admit,
    disqualify,
    lift_refusal,
    open_flag,
    refuse,
    reinstate,
    release_flag,
    settle,
    switch_link_off,
    switch_link_on,
)
from tests.facts import JANUARY, NOW, chargeback, day, fact, record, register

pytestmark = pytest.mark.django_db(transaction=True)

TICK = timedelta(microseconds=1)
PAYDAY = day(2, 19)


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("staff@example.com", account_id="staff", is_staff=True, created_at=JANUARY)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    return register("bob", referred_by=alice)


@pytest.fixture
def referral(bob: User) -> Referral:
    return Referral.objects.get(friend=bob)


@pytest.fixture
def link(alice: User) -> ReferralLink:
    return ReferralLink.objects.create(owner=alice, code="alices-link", created_at=JANUARY)


def hold(referral: Referral, staff: User | None, *, rule: str = "same card", severity: str = "hold") -> FraudFlag:
    return open_flag(
        referral_id=referral.pk,
        rule=rule,
        severity=severity,
        evidence={"card": "ends in 42"},
        actor=staff,
        reason="The card is known.",
        now=NOW,
    )


def release(flag: FraudFlag, staff: User) -> None:
    release_flag(flag_id=flag.pk, actor=staff, reason="Two people at one desk.", now=NOW)


def refuse_now(referral: Referral, staff: User) -> None:
    refuse(referral_id=referral.pk, actor=staff, reason="The same person twice.", now=NOW)


def lift_now(referral: Referral, staff: User) -> None:
    lift_refusal(referral_id=referral.pk, actor=staff, reason="The appeal was right.", now=NOW)


def earn(friend: User, amount: str = "25", at: datetime | None = None) -> None:
    record(fact(friend, f"{friend.account_id}-{amount}", amount, at or day(1, 20)))


def left(owner: User, kind: str) -> Decimal:
    coupons = Coupon.objects.filter(customer_id=owner.pk, kind=kind)
    return sum((coupon.remaining.amount for coupon in coupons), Decimal())


def settle_at(at: datetime) -> None:
    settle(as_of=at, now=NOW)


def spend_credit(customer: User, amount: str, redemption_id: str = "order", at: datetime | None = None) -> None:
    redeem(
        source="console",
        redemption_id=redemption_id,
        customer_id=customer.pk,
        amount=Money(amount, "USD"),
        occurred_at=at or day(1, 10),
        now=NOW,
    )


def return_credit(
    amount: str, redemption_id: str = "order", return_id: str = "refund", at: datetime | None = None
) -> None:
    give_back(
        source="console",
        redemption_id=redemption_id,
        return_id=return_id,
        amount=Money(amount, "USD"),
        occurred_at=at or day(2, 1),
        now=NOW,
    )


# Holds


def test_payout_waits_while_a_flag_is_open(alice: User, bob: User, referral: Referral, staff: User) -> None:
    earn(bob)
    flag = hold(referral, staff)
    settle_at(NOW)
    assert left(alice, "payout") == 0
    release(flag, staff)
    settle_at(NOW)
    assert left(alice, "payout") == 20


def test_hold_stops_no_clawback(alice: User, bob: User, referral: Referral, staff: User) -> None:
    earn(bob)
    settle_at(PAYDAY)
    hold(referral, staff)
    record(chargeback(bob, "back", "25", "bob-25"))
    settle_at(PAYDAY)
    assert left(alice, "payout") == 0
    assert CouponEntry.objects.filter(type="REVOKE").count() == 1


def test_note_holds_nothing(alice: User, bob: User, referral: Referral, staff: User) -> None:
    earn(bob)
    hold(referral, staff, severity="note")
    settle_at(NOW)
    assert left(alice, "payout") == 20
    assert Decision.objects.get().action == Decision.Action.NOTE


def test_flag_of_a_rule_is_open_once(referral: Referral, staff: User) -> None:
    assert hold(referral, None) == hold(referral, None)
    assert Decision.objects.count() == 1
    hold(referral, staff, rule="same device")
    assert FraudFlag.objects.count() == 2


def test_note_of_a_rule_becomes_its_hold_and_not_the_other_way(referral: Referral, staff: User) -> None:
    note = hold(referral, None, severity="note")
    assert hold(referral, None) == note
    referral.refresh_from_db()
    assert referral.held
    assert hold(referral, None, severity="note").severity == FraudFlag.Severity.HOLD


def test_flag_that_is_open_already_is_so_told_to_staff(referral: Referral, staff: User) -> None:
    note = hold(referral, None, severity="note")
    assert hold(referral, staff) == note
    for severity in ("hold", "note"):
        with pytest.raises(UnableToDecide) as refusal:
            hold(referral, staff, severity=severity)
        assert refusal.value.code == "already"
    assert Decision.objects.count() == 2


def test_rule_flags_again_after_its_release(referral: Referral, staff: User) -> None:
    first = hold(referral, staff)
    release(first, staff)
    assert hold(referral, staff) != first
    referral.refresh_from_db()
    assert referral.held


def test_referral_stays_held_until_its_last_hold_is_released(referral: Referral, staff: User) -> None:
    first, second = hold(referral, staff), hold(referral, staff, rule="same device")
    release(first, staff)
    referral.refresh_from_db()
    assert referral.held
    release(second, staff)
    referral.refresh_from_db()
    assert not referral.held


def hold_before_welcome(alice: User, staff: User) -> Referral:
    """Hold cem's referral before cem has the trial and the welcome credit, as a rule at sign-up does."""
    cem = User.objects.create(account_id="cem", email="cem@example.com", created_at=JANUARY, registered_at=JANUARY)
    CreditAccount.objects.create(customer=cem)
    referral = Referral.objects.create(
        friend=cem,
        referrer=alice,
        terms_id=1,
        registered_at=JANUARY,
        created_at=NOW,
        bonus_due_at=JANUARY + timedelta(days=120),
    )
    hold(referral, staff)
    admit(user_ids=[cem.pk], now=NOW)
    return referral


def test_trial_and_welcome_credit_wait_for_a_hold_that_was_there_before(alice: User, staff: User) -> None:
    referral = hold_before_welcome(alice, staff)
    other = hold(referral, staff, rule="same device")
    assert left(referral.friend, "trial") == left(referral.friend, "welcome") == 0
    release(FraudFlag.objects.get(rule="same card"), staff)
    assert left(referral.friend, "trial") == 0
    release(other, staff)
    assert (left(referral.friend, "trial"), left(referral.friend, "welcome")) == (300, 5)
    assert Coupon.objects.get(customer_id=referral.friend_id, kind="welcome").expires_at == NOW + timedelta(days=180)


def test_refusal_ends_the_wait_with_the_trial_alone(alice: User, staff: User) -> None:
    referral = hold_before_welcome(alice, staff)
    refuse_now(referral, staff)
    assert (left(referral.friend, "trial"), left(referral.friend, "welcome")) == (300, 0)
    lift_now(referral, staff)
    assert left(referral.friend, "welcome") == 5


def test_release_gives_nothing_twice(bob: User, referral: Referral, staff: User) -> None:
    release(hold(referral, staff), staff)
    assert Coupon.objects.filter(customer_id=bob.pk).count() == 2


# Refusals


def test_refused_referral_earns_nothing_and_lifting_restores_it(
    alice: User, bob: User, referral: Referral, staff: User
) -> None:
    earn(bob, "120.05")
    settle_at(NOW)
    assert (left(alice, "payout"), left(alice, "bonus")) == (20, Decimal("10.01"))
    refuse_now(referral, staff)
    settle_at(NOW)
    assert (left(alice, "payout"), left(alice, "bonus")) == (0, 0)
    record(fact(bob, "more", "50", day(1, 21)))
    settle_at(NOW)
    assert (left(alice, "payout"), left(alice, "bonus")) == (0, 0)
    lift_now(referral, staff)
    settle_at(NOW)
    assert (left(alice, "payout"), left(alice, "bonus")) == (20, Decimal("15.01"))


def test_refusal_claws_back_what_was_spent_as_a_debt(alice: User, bob: User, referral: Referral, staff: User) -> None:
    earn(bob)
    settle_at(PAYDAY)
    spend_credit(alice, "15", at=PAYDAY)
    refuse_now(referral, staff)
    settle_at(PAYDAY)
    assert [debt.outstanding.amount for debt in CreditAccount.objects.get(pk=alice.pk).debts.all()] == [15]
    assert left(alice, "payout") == 0


def test_refusal_revokes_what_is_left_of_the_welcome_credit(bob: User, referral: Referral, staff: User) -> None:
    spend_credit(bob, "3")
    refuse(referral_id=referral.pk, actor=staff, reason="Fraud.", now=day(2, 1))
    welcome = Coupon.objects.get(customer_id=bob.pk, kind="welcome")
    assert (welcome.remaining.amount, welcome.redeemed.amount, welcome.revoked.amount) == (0, 3, 2)
    assert left(bob, "trial") == 300
    return_credit("3")
    assert left(bob, "welcome") == 0


def test_revoked_welcome_credit_does_not_come_back(bob: User, referral: Referral, staff: User) -> None:
    spend_credit(bob, "3")
    refuse(referral_id=referral.pk, actor=staff, reason="Fraud.", now=day(1, 20))
    lift_now(referral, staff)
    assert left(bob, "welcome") == 0


@pytest.mark.parametrize("spent", ["3", "5"])
def test_welcome_credit_that_was_spent_can_be_given_back_after_lifting(
    bob: User, referral: Referral, staff: User, spent: str
) -> None:
    spend_credit(bob, spent)
    refuse(referral_id=referral.pk, actor=staff, reason="Fraud.", now=day(1, 20))
    lift_now(referral, staff)
    return_credit(spent)
    assert left(bob, "welcome") == int(spent)


@pytest.mark.parametrize(("before_expiry", "remains"), [(TICK, 0), (timedelta(0), 5)])
def test_welcome_credit_that_has_expired_is_left_to_the_expiry(
    bob: User, referral: Referral, staff: User, before_expiry: timedelta, remains: int
) -> None:
    expiry = Coupon.objects.get(customer_id=bob.pk, kind="welcome").expires_at
    refuse(referral_id=referral.pk, actor=staff, reason="Fraud.", now=expiry - before_expiry)
    assert left(bob, "welcome") == remains


def test_refusal_closes_the_open_flags(referral: Referral, staff: User) -> None:
    flag = hold(referral, staff)
    refuse_now(referral, staff)
    flag.refresh_from_db()
    referral.refresh_from_db()
    assert (flag.outcome, flag.closed_at, referral.held) == (FraudFlag.Outcome.REFUSED, NOW, False)


def test_untracked_spend_stays_refused_until_lifted(alice: User, bob: User, referral: Referral, staff: User) -> None:
    refuse_now(referral, staff)
    earn(bob)
    settle_at(NOW)
    referral.refresh_from_db()
    assert (referral.qualifying_spend.amount, referral.payout_earned.amount) == (25, 0)
    lift_now(referral, staff)
    referral.refresh_from_db()
    assert referral.payout_earned.amount == 20


# Disqualification


def test_disqualified_account_is_granted_nothing_and_spends_nothing(
    alice: User, bob: User, referral: Referral, staff: User, link: ReferralLink
) -> None:
    earn(bob)
    settle_at(PAYDAY)
    cem = register("cem", referred_by=alice)
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", refuse_referrals=[], now=NOW)
    earn(cem)
    settle_at(NOW + timedelta(days=1))
    assert not Coupon.objects.filter(friend=cem).exists()
    with pytest.raises(UnableToRedeem, match="insufficient"):
        spend_credit(alice, "1", at=PAYDAY)
    link.refresh_from_db()
    assert link.switched_off_at == NOW


def test_disqualification_refuses_those_not_yet_paid_in_full(
    alice: User, bob: User, referral: Referral, staff: User
) -> None:
    earn(bob)
    register("cem", referred_by=alice)
    settle_at(NOW)
    dan = register("dan", referred_by=alice)
    refuse(referral_id=Referral.objects.get(friend=dan).pk, actor=staff, reason="Fraud.", now=NOW)
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", now=NOW)
    refused = Referral.objects.filter(refused_at__isnull=False).values_list("friend__account_id", flat=True)
    assert sorted(refused) == ["cem", "dan"]


def test_staff_choose_which_referrals_are_refused(alice: User, bob: User, referral: Referral, staff: User) -> None:
    register("cem", referred_by=alice)
    disqualify(user_id=alice.pk, actor=staff, reason="Fraud.", refuse_referrals=[referral.pk], now=NOW)
    assert list(Referral.objects.filter(refused_at__isnull=False)) == [referral]


def test_referral_of_somebody_else_is_not_refused_with_the_account(
    alice: User, bob: User, referral: Referral, staff: User
) -> None:
    with pytest.raises(UnableToDecide) as refusal:
        disqualify(user_id=bob.pk, actor=staff, reason="Fraud.", refuse_referrals=[referral.pk], now=NOW)
    assert refusal.value.code == "not_theirs"
    bob.refresh_from_db()
    assert bob.disqualified_at is None


def test_reinstated_account_spends_and_earns_again(
    alice: User, bob: User, referral: Referral, staff: User, link: ReferralLink
) -> None:
    earn(bob)
    settle_at(PAYDAY)
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", refuse_referrals=[], now=NOW)
    reinstate(user_id=alice.pk, actor=staff, reason="It was somebody else.", now=NOW + TICK)
    spend_credit(alice, "20", at=PAYDAY)
    link.refresh_from_db()
    assert link.switched_off_at is None


def test_link_that_was_off_before_the_disqualification_stays_off(alice: User, staff: User, link: ReferralLink) -> None:
    switch_link_off(user_id=alice.pk, actor=staff, reason="Spam.", now=NOW)
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", now=NOW + TICK)
    reinstate(user_id=alice.pk, actor=staff, reason="It was somebody else.", now=NOW + 2 * TICK)
    link.refresh_from_db()
    assert link.switched_off_at == NOW


# Links


def test_link_is_switched_off_and_on(alice: User, staff: User, link: ReferralLink) -> None:
    switch_link_off(user_id=alice.pk, actor=staff, reason="Spam.", now=NOW)
    link.refresh_from_db()
    assert link.switched_off_at == NOW
    switch_link_on(user_id=alice.pk, actor=staff, reason="No spam.", now=NOW)
    link.refresh_from_db()
    assert link.switched_off_at is None


def test_link_of_a_disqualified_account_is_not_switched_on(alice: User, staff: User, link: ReferralLink) -> None:
    disqualify(user_id=alice.pk, actor=staff, reason="Card theft.", now=NOW)
    with pytest.raises(UnableToDecide) as refusal:
        switch_link_on(user_id=alice.pk, actor=staff, reason="Why not.", now=NOW)
    assert refusal.value.code == "disqualified"


# Every decision

Decide = Callable[[str], None]


@pytest.fixture
def decisions(
    alice: User, bob: User, referral: Referral, link: ReferralLink, staff: User
) -> list[tuple[Decision.Action, Decide]]:
    """Every decision, in an order in which each can be taken once, given its reason."""
    by: dict[str, Any] = {"actor": staff, "now": NOW}
    of_referral, of_alice = {"referral_id": referral.pk, **by}, {"user_id": alice.pk, **by}
    action = Decision.Action
    return [
        (action.HOLD, lambda why: void(open_flag(rule="r", severity="hold", evidence={}, reason=why, **of_referral))),
        (action.RELEASE, lambda why: release_flag(flag_id=FraudFlag.objects.get().pk, reason=why, **by)),
        (action.REFUSE, lambda why: refuse(reason=why, **of_referral)),
        (action.LIFT_REFUSAL, lambda why: lift_refusal(reason=why, **of_referral)),
        (action.SWITCH_LINK_OFF, lambda why: switch_link_off(reason=why, **of_alice)),
        (action.SWITCH_LINK_ON, lambda why: switch_link_on(reason=why, **of_alice)),
        (action.DISQUALIFY, lambda why: disqualify(reason=why, refuse_referrals=[], **of_alice)),
        (action.REINSTATE, lambda why: reinstate(reason=why, **of_alice)),
    ]


def void(flag: FraudFlag) -> None:
    assert flag.pk


def test_every_decision_needs_a_reason_and_is_written_down_once(
    decisions: list[tuple[Decision.Action, Decide]], staff: User
) -> None:
    for action, decide in decisions:
        with pytest.raises(UnableToDecide) as refusal:
            decide(" \n")
        assert refusal.value.code == "reason"
        decide("Because.")
        written = Decision.objects.latest("pk")
        assert (written.action, written.actor, written.decided_at) == (action, staff, NOW)
        assert written.reason.text == "Because."
        if action is not Decision.Action.HOLD:
            with pytest.raises(UnableToDecide) as again:
                decide("Because.")
            assert again.value.code == "already"
    assert Decision.objects.count() == len(decisions)


def test_decision_about_nothing_is_refused(staff: User) -> None:
    by: dict[str, Any] = {"actor": staff, "reason": "Because.", "now": NOW}
    nobody: list[Callable[[], object]] = [
        lambda: open_flag(referral_id=0, rule="r", severity="hold", evidence={}, **by),
        lambda: release_flag(flag_id=0, **by),
        lambda: refuse(referral_id=0, **by),
        lambda: lift_refusal(referral_id=0, **by),
        lambda: disqualify(user_id=0, **by),
        lambda: reinstate(user_id=0, **by),
        lambda: switch_link_off(user_id=0, **by),
        lambda: switch_link_on(user_id=0, **by),
    ]
    for decide in nobody:
        with pytest.raises(UnableToDecide) as refusal:
            decide()
        assert refusal.value.code == "unknown"
    assert not Decision.objects.exists()


@pytest.mark.parametrize(("rule", "severity", "code"), [(" ", "hold", "rule"), ("r", "worry", "severity")])
def test_flag_names_its_rule_and_a_listed_severity(
    referral: Referral, staff: User, rule: str, severity: str, code: str
) -> None:
    with pytest.raises(UnableToDecide) as refusal:
        hold(referral, staff, rule=rule, severity=severity)
    assert refusal.value.code == code
