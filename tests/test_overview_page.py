"""Overview, as its reader sees it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from djmoney.money import Money

from accounts.models import IdentityVerification, User
from accounts.operations import add_payment_method
from credits.operations import redeem
from referrals.models import ProgrammeTerms, Referral, ReferralLink
from referrals.operations import disqualify, refuse, switch_link_off
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.pages import make_eligible, read, signed_in
from tests.referring import alice, bob, hold, settle_at

__all__ = ["alice", "bob"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

OVERVIEW = "/console/"
TICK = timedelta(microseconds=1)


def test_credit_trial_and_what_expires_first_are_told_apart(bob: User) -> None:
    page = read(bob, OVERVIEW, at=day(1, 2))
    assert "Usable credit $5.00" in page
    assert "Expiring soonest $5.00 in 179 days · 30 Jun 2026" in page
    assert "Free trial $300.00 apart from credit, until 1 Jan 2027" in page


def test_coming_rewards_are_a_sum_and_their_next_dates(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    number = Referral.objects.get(friend=bob).pk
    page = read(alice, OVERVIEW, at=day(2, 16))
    assert "Coming rewards $20.10" in page
    friend = f"Friend · joined January 2026 No. {number}"
    assert (
        f"{friend} Payout in 3 days 19 Feb 2026, 00:00 UTC $20.00 {friend} Bonus in 74 days 1 May 2026, 00:00 UTC $0.10"
    ) in page


def test_of_many_coming_rewards_the_five_next_ones_are_shown(alice: User) -> None:
    for number in range(7):
        friend = register(f"friend-{number}", referred_by=alice)
        record(fact(friend, f"of-{number}", "30", day(1, 10 + number)))
    settle_at(day(1, 21))
    page = read(alice, OVERVIEW, at=day(1, 21))
    assert re.findall(r"(\d+ \w+) 2026, 00:00 UTC \$20.00", page) == [f"{9 + number} Feb" for number in range(5)]
    assert "Coming rewards $147.00" in page
    assert "All friends by their next date" in page


def test_what_is_held_is_no_coming_reward(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    hold(bob)
    page = read(alice, OVERVIEW, at=day(2, 16))
    assert "Coming rewards $0.00 $20.10 more is under review" in page
    assert "Nothing is on its way" in page


def test_nothing_comes_to_who_is_disqualified_and_their_credit_is_frozen(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    disqualify(user_id=alice.pk, actor=None, reason="card theft", refuse_referrals=[], now=day(1, 22))
    page = read(alice, OVERVIEW, at=day(2, 1))
    assert "This account may not refer friends" in page
    assert "Your credit is frozen since 22 Jan 2026" in page
    assert "Usable credit $0.00 Your credit is frozen $0.00" in page
    assert "Nothing is on its way" in page
    assert "card theft" not in page


def owe_fifteen(alice: User) -> None:
    settle_at(day(2, 19))
    redeem(
        source="test",
        redemption_id="order-1",
        customer_id=alice.pk,
        amount=Money(15, "USD"),
        occurred_at=day(2, 20),
        now=NOW,
    )


def test_a_debt_says_that_nothing_is_charged_and_what_caused_it(alice: User, bob: User) -> None:
    """Worked example 7."""
    owe_fifteen(alice)
    assert "To be set against" not in read(alice, OVERVIEW, at=day(2, 21))
    record(chargeback(bob, "back", "12", "ecs", day(2, 21)))
    settle_at(day(2, 22))
    page = read(alice, OVERVIEW, at=day(2, 22))
    assert "To be set against your next rewards: $15; nothing is charged to you" in page
    assert "Payout · Friend · joined January 2026: a payment was reversed, 22 Feb 2026 $15.00" in page


def test_a_debt_of_a_refused_referral_says_so(alice: User, bob: User) -> None:
    owe_fifteen(alice)
    refuse(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="same as carol", now=day(2, 21))
    settle_at(day(2, 22))
    page = read(alice, OVERVIEW, at=day(2, 22))
    assert "the referral was refused, 22 Feb 2026 $15.00" in page
    assert "carol" not in page


# The next step


def step(reader: User) -> tuple[str, str]:
    """What the page says is next, and where its button leads."""
    page = signed_in(reader).get(OVERVIEW).content.decode()
    found = re.search(r'id="next-step">([^<]*)<.*?<a class="button[^"]*" href="([^"]*)"', page, re.DOTALL)
    assert found
    return found.group(1), found.group(2)


def test_what_is_missing_comes_one_after_the_other_with_its_button(alice: User) -> None:
    assert step(alice) == ("Next: add a payment method", "/console/payment-methods/")
    add_payment_method(user_id=alice.pk, now=NOW)
    assert step(alice) == ("Next: verify your identity", "/console/verification/")
    IdentityVerification.objects.create(customer=alice, submitted_digest="digest")
    assert step(alice) == ("Your verification is in review", "/console/verification/")
    IdentityVerification.objects.update(state=IdentityVerification.State.REFUSED, submitted_digest="")
    assert step(alice) == ("Next: verify your identity again", "/console/verification/")
    IdentityVerification.objects.all().delete()
    make_eligible(alice)
    assert step(alice) == ("Your referral link is ready", "/console/refer/")


@pytest.mark.untrue_rows("payment_methods_are_what_is_on_file")
def test_a_payment_method_is_renewed_from_the_instant_at_which_it_expires(alice: User) -> None:
    make_eligible(alice)
    User.objects.filter(pk=alice.pk).update(payment_method_expires_at=day(3, 1))
    assert "Next: renew your payment method" not in read(alice, OVERVIEW, at=day(3, 1) - TICK)
    assert "Next: renew your payment method" in read(alice, OVERVIEW, at=day(3, 1))


def test_a_link_that_is_being_made_or_is_off_is_said_to_be(alice: User) -> None:
    make_eligible(alice)
    switch_link_off(user_id=alice.pk, actor=None, reason="asked for", now=NOW)
    assert "Your link is switched off" in read(alice, OVERVIEW)
    carol = register("carol")
    add_payment_method(user_id=carol.pk, now=NOW)
    IdentityVerification.objects.create(
        customer=carol, state="passed", passed_at=NOW, identity_digest="carol", is_eligible=True
    )
    assert not ReferralLink.objects.filter(owner=carol).exists()
    assert "Your link is being made" in read(carol, OVERVIEW)


def test_who_was_referred_is_led_to_their_own_referral(alice: User, bob: User) -> None:
    assert "/console/refer/own/" in signed_in(bob).get(OVERVIEW).content.decode()
    assert "/console/refer/own/" not in signed_in(alice).get(OVERVIEW).content.decode()


def test_the_numbers_are_those_of_the_terms_in_force(alice: User) -> None:
    ProgrammeTerms.objects.create(starts_at=day(6, 1), payout=35, qualifying_threshold=40, cap_per_friend=500)
    before, after = read(alice, OVERVIEW, at=day(6, 1) - TICK), read(alice, OVERVIEW, at=day(6, 1))
    assert "which brings you $20 and up to $300 for each friend" in before
    assert "When a friend has spent $20 on qualifying products, $20 appears here" in before
    assert "which brings you $35 and up to $500 for each friend" in after
    assert "When a friend has spent $40 on qualifying products, $35 appears here" in after
