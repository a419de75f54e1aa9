"""The page of one friend, as the referrer sees it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from djmoney.money import Money

from accounts.models import User
from credits.operations import redeem
from referral_site.celery import app
from referrals.models import ProgrammeTerms, Referral
from referrals.operations import lift_refusal, open_flag, refuse, release_flag, track
from referrals.sweeps import SWEEP
from tests.facts import NOW, chargeback, day, dispute_won, fact, record, refund, register
from tests.pages import friend_address, read
from tests.referring import REFER, alice, bob, hold, settle_at

__all__ = ["alice", "bob"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

TICK = timedelta(microseconds=1)


def test_below_the_threshold_only_quarters_are_shown(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    for event, amount, quarters in [
        ("a", "4.99", "Less than a quarter of $20"),
        ("b", "0.01", "At least a quarter of $20"),
        ("c", "5", "At least half of $20"),
        ("d", "9.99", "At least three quarters of $20"),
    ]:
        record(fact(bob, event, amount, day(1, 5)))
        settle_at(day(1, 6))
        page = read(alice, friend_address(bob))
        assert quarters in page
        assert quarters in read(alice, REFER)
        assert "19.99" not in page
    record(fact(bob, "e", "0.01", day(1, 5)))
    settle_at(day(1, 6))
    assert "$20.00 ≥ $20.00" in read(alice, friend_address(bob))


def test_each_amount_can_be_recomputed(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    page = read(alice, friend_address(bob), at=day(1, 21))
    assert "Qualifying spend $21.00 ≥ $20.00 Payout $20.00" in page
    assert "Due, and earliest arrival 19 Feb 2026, 00:00" in page
    assert "Spend in the first 90 days $21.00 10% of ($21.00 − $20.00) $0.10 Bonus $0.10" in page
    assert "Due, and earliest arrival 1 May 2026, 00:00" in page
    assert "It may still grow with what your friend spends before 1 Apr 2026, 00:00" in page
    assert "It may still grow" not in read(alice, friend_address(bob), at=day(4, 1))


def test_the_cap_is_a_step_of_its_own(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "big", "10000", day(1, 5)))
    settle_at(day(5, 1))
    page = read(alice, friend_address(bob))
    assert "10% of ($10,000.00 − $20.00) $998.00 At most $300.00 − $20.00 $280.00 Bonus $280.00" in page


def test_a_referral_is_reckoned_by_the_terms_that_it_was_made_under(alice: User, bob: User) -> None:
    ProgrammeTerms.objects.create(starts_at=day(1, 2), payout=35, qualifying_threshold=30, bonus_rate="0.5")
    carol = register("carol", referred_by=alice, at=day(1, 3))
    record(fact(carol, "of-carol", "31", day(1, 5)))
    settle_at(day(1, 21))
    assert "Qualifying spend $21.00 ≥ $20.00 Payout $20.00" in read(alice, friend_address(bob))
    page = read(alice, friend_address(carol))
    assert "Qualifying spend $31.00 ≥ $30.00 Payout $35.00" in page
    assert "50% of ($31.00 − $30.00) $0.50" in page


def test_a_clawback_says_what_became_of_the_reward(alice: User, bob: User) -> None:
    """Worked example 7."""
    settle_at(day(2, 19), day(5, 1))
    redeem(
        source="test", redemption_id="order-1", customer_id=alice.pk, amount=Money(15, "USD"), occurred_at=day(5, 2),
        now=NOW,
    )  # fmt: skip
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    page = read(alice, friend_address(bob))
    assert "$20.00 of the payout clawed back A payment was reversed. $20.00 had been granted, $0.00 is earned." in page
    assert "$5.00 was revoked: it was still unused on your coupons." in page
    assert "$15.00 had been used, and is set against your next rewards. Nothing is charged to you." in page
    assert "$0.10 of the bonus clawed back" in page
    record(dispute_won(bob, "won", "12", "ecs", day(5, 5)))
    settle_at(day(5, 6))
    page = read(alice, friend_address(bob))
    assert "$15.00 of it settled what was owed from before. Coupon of $5.00" in page


def test_credit_that_had_expired_is_let_go(alice: User, bob: User) -> None:
    """Worked example 8."""
    settle_at(day(2, 19))
    redeem(
        source="test", redemption_id="order-1", customer_id=alice.pk, amount=Money(5, "USD"), occurred_at=day(2, 20),
        now=NOW,
    )  # fmt: skip
    settle_at(day(8, 18))
    record(chargeback(bob, "back", "12", "ecs", day(8, 19)))
    settle_at(day(8, 20))
    page = read(alice, friend_address(bob))
    assert "$15.00 was let go: it had expired unused." in page
    assert "$5.00 had been used" in page
    record(dispute_won(bob, "won", "12", "ecs", day(8, 21)))
    settle_at(day(8, 22))
    page = read(alice, friend_address(bob))
    assert "$5.00 of it settled what was owed from before. Nothing was left for a coupon." in page


def test_a_later_grant_says_what_was_granted_before(alice: User, bob: User) -> None:
    settle_at(day(5, 1))
    record(fact(bob, "late", "10", day(1, 30)))
    settle_at(day(5, 2))
    page = read(alice, friend_address(bob))
    assert (
        "10% of ($31.00 − $20.00) = $1.10 → bonus $1.10. $0.10 of it had been granted before, so $1.00 was granted."
        in page
    )


def test_a_partial_refund_names_the_new_spend_while_it_is_above_the_threshold(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "60", day(1, 5)))
    settle_at(day(5, 1))
    record(refund(bob, "back", "10", "ecs", day(5, 2)))
    settle_at(day(5, 3))
    page = read(alice, friend_address(bob))
    assert "$1.00 of the bonus clawed back A payment was reversed. $4.00 had been granted, $3.00 is earned." in page
    assert "10% of ($50.00 − $20.00) = $3.00 → bonus $3.00." in page


def test_reviews_and_refusals_are_told_in_plain_words(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    flag = hold(bob)
    page = read(alice, friend_address(bob), at=day(2, 2))
    assert "We are looking at this referral." in page
    assert "1 Feb 2026, 00:00 Review begun" in page
    release_flag(flag_id=flag.pk, actor=None, reason="a family", now=day(2, 3))
    assert "3 Feb 2026, 00:00 Review ended" in read(alice, friend_address(bob), at=day(2, 4))
    refuse(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="same person as carol", now=day(2, 5))
    page = read(alice, friend_address(bob), at=day(2, 6))
    assert "This referral is refused." in page
    assert "Nothing while it is refused: payout $0.00, bonus $0.00." in page
    assert "5 Feb 2026, 00:00 Refused" in page
    lift_refusal(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="mistake", now=day(2, 7))
    page = read(alice, friend_address(bob), at=day(2, 8))
    assert "7 Feb 2026, 00:00 Refusal lifted" in page
    assert "Payout $20.00" in page
    for secret in ("carol", "family", "4242", "shared_card", "mistake."):
        assert secret not in page.replace("a mistake, write to our support", "")


def test_another_customers_friend_is_not_found(alice: User, bob: User) -> None:
    mallory = register("mallory")
    assert "There is no such page" in read(mallory, friend_address(bob), status=404)
    assert "There is no such page" in read(bob, friend_address(bob), status=404)
    read(alice, "/console/refer/999999999999999999/", status=404)
    read(alice, "/console/refer/99999999999999999999/", status=404)


# When it arrives


def test_what_has_not_qualified_has_its_condition_and_no_date(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "19.99", day(1, 5)))
    settle_at(day(1, 6))
    page = read(alice, friend_address(bob), at=day(1, 7))
    assert "Once your friend has spent $20 on qualifying products, $20 is yours 30 days later." in page
    assert "Until then there is no date" in page
    assert re.findall(r"\d+ \w{3} 2026", page) == ["1 Jan 2026"]


@pytest.mark.parametrize(
    ("seen_at", "latest"),
    [
        (day(1, 21), "19 Feb 2026, 00:10 UTC"),
        (day(2, 19) - TICK, "19 Feb 2026, 00:10 UTC"),
        (day(2, 19), "19 Feb 2026, 00:10 UTC"),
        (day(2, 19) + timedelta(minutes=4), "19 Feb 2026, 00:14 UTC"),
    ],
)
def test_a_payout_arrives_from_its_due_time_to_one_sweep_later(
    alice: User, bob: User, seen_at: datetime, latest: str
) -> None:
    settle_at(day(1, 21))
    page = read(alice, friend_address(bob), at=seen_at)
    assert f"Due, and earliest arrival 19 Feb 2026, 00:00 UTC Latest arrival {latest}" in page


def test_the_promise_of_a_sweep_is_the_one_that_beat_keeps() -> None:
    for name in ("pay_referrers", "pay_bonuses"):
        minutes = sorted(app.conf.beat_schedule[name]["schedule"].minute)
        gaps = {after - before for before, after in pairwise([*minutes, minutes[0] + 60])}
        assert gaps == {SWEEP / timedelta(minutes=1)}


def test_a_bonus_says_when_its_window_ends_and_when_it_is_due(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    page = read(alice, friend_address(bob), at=day(1, 21))
    assert (
        "Bonus $0.10 Window ends 1 Apr 2026, 00:00 "
        "Due, and earliest arrival 1 May 2026, 00:00 UTC Latest arrival 1 May 2026, 00:10 UTC"
    ) in page
    ahead = page[page.index("What happened") :]
    assert "1 Apr 2026, 00:00 Spend counts towards the bonus until here" in ahead
    assert "Spend counts towards the bonus until here" not in read(alice, friend_address(bob), at=day(4, 1))


def test_the_rest_of_a_reward_is_what_is_still_to_arrive(alice: User, bob: User) -> None:
    settle_at(day(5, 1))
    record(fact(bob, "late", "10", day(1, 30)))
    track(now=NOW)
    page = read(alice, friend_address(bob), at=day(5, 2))
    assert "Bonus $1.10 Window ends 1 Apr 2026, 00:00 Still to arrive $1.00 Due, and earliest arrival" in page
    assert "Latest arrival 2 May 2026, 00:10 UTC Received so far $0.10" in page


def test_under_review_there_is_a_reason_and_no_latest_arrival(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    flag = hold(bob)
    page = read(alice, friend_address(bob), at=day(2, 2))
    assert "Due, and earliest arrival 19 Feb 2026, 00:00 UTC Latest arrival none yet" in page
    assert "Why: a payment method was seen with another account, too." in page
    release_flag(flag_id=flag.pk, actor=None, reason="a family", now=day(2, 3))
    page = read(alice, friend_address(bob), at=day(2, 4))
    assert "Latest arrival 19 Feb 2026, 00:10 UTC" in page


@pytest.mark.parametrize(
    ("rule", "words_for_it"),
    [
        ("same device", "the same device was seen with another account"),
        ("Known-Identity of carol", "the person seems to have had an account already"),
        ("carol@example.com", "our checks asked for a closer look"),
    ],
)
def test_a_rule_is_worded_and_never_quoted(alice: User, bob: User, rule: str, words_for_it: str) -> None:
    referral_id = Referral.objects.get(friend=bob).pk
    open_flag(
        referral_id=referral_id, rule=rule, severity="hold", evidence={}, actor=None, reason="carol", now=day(2, 1)
    )
    page = read(alice, friend_address(bob), at=day(2, 2))
    assert f"Why: {words_for_it}." in page
    refuse(referral_id=referral_id, actor=None, reason="as carol", now=day(2, 3))
    page = read(alice, friend_address(bob), at=day(2, 4))
    assert f"what was paid for it is taken back. Why: {words_for_it}." in page
    assert "carol" not in page


def test_a_clawback_says_its_order_in_amounts_that_add_up(alice: User, bob: User) -> None:
    """Worked example 7."""
    settle_at(day(2, 19))
    redeem(
        source="test", redemption_id="order-1", customer_id=alice.pk, amount=Money(15, "USD"), occurred_at=day(2, 20),
        now=NOW,
    )  # fmt: skip
    refuse(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="same", now=day(2, 21))
    settle_at(day(2, 22))
    page = read(alice, friend_address(bob), at=day(2, 22))
    assert (
        "$20.00 of the payout clawed back The referral was refused. $20.00 had been granted, $0.00 is earned. "
        "$20.00 was taken back in this order: $5.00 was revoked: it was still unused on your coupons. "
        "$0.00 was let go: it had expired unused. $15.00 had been used, and is set against your next rewards."
    ) in page


# A friend who had qualified


@pytest.fixture
def carol(alice: User) -> User:
    """She qualifies on 5 January."""
    carol = register("carol", referred_by=alice)
    record(fact(carol, "ecs", "25", day(1, 5)), now=day(1, 5))
    settle_at(day(1, 6))
    return carol


FELL = "No longer qualified A payment was reversed, so that qualifying spend is below $20.00 again."


def test_a_friend_who_falls_below_the_threshold_is_said_to_have(alice: User, carol: User) -> None:
    assert "5 Jan 2026, 00:00 Qualified" in read(alice, friend_address(carol), at=day(1, 7))
    record(refund(carol, "back", "5.00", "ecs", day(1, 9)), now=day(1, 10))
    settle_at(day(1, 11))
    assert FELL not in read(alice, friend_address(carol), at=day(1, 12))  # $20.00 is enough
    record(refund(carol, "more", "0.01", "ecs", day(1, 11)), now=day(1, 12))
    settle_at(day(1, 13))
    page = read(alice, friend_address(carol), at=day(1, 14))
    assert f"12 Jan 2026, 00:00 {FELL} Nothing is due until it reaches $20.00 once more." in page
    assert "5 Jan 2026" not in page
    record(fact(carol, "again", "0.01", day(1, 15)), now=day(1, 15))
    settle_at(day(1, 16))
    page = read(alice, friend_address(carol), at=day(1, 17))
    assert "15 Jan 2026, 00:00 Qualified" in page
    assert FELL not in page


def test_who_never_had_qualified_has_not_ceased_to(alice: User) -> None:
    """Never $20 at once, nor $20 that counts."""
    carol = register("carol", referred_by=alice)
    record(fact(carol, "ecs", "15", day(1, 5)))
    record(refund(carol, "back", "15", "ecs"))
    record(fact(carol, "more", "10", day(1, 6)), fact(carol, "cdn", "500", day(1, 6), product="cdn"))
    settle_at(day(1, 7))
    assert FELL not in read(alice, friend_address(carol))
