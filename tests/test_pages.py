"""Refer a Friend and the page of one friend, as their reader sees them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.test import Client
from djmoney.money import Money

from accounts.models import IdentityVerification, User
from accounts.operations import add_payment_method
from credits.operations import redeem
from referrals.models import FraudFlag, ProgrammeTerms, Referral, ReferralLink
from referrals.operations import disqualify, lift_refusal, open_flag, refuse, release_flag, settle, switch_link_off
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, refund, register
from tests.pages import friend_address, make_eligible, read, words

pytestmark = pytest.mark.django_db(transaction=True)

REFER = "/console/refer/"


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """Worked example 1: payout due on 19 February, bonus on 1 May."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "12", day(1, 5)), fact(bob, "rds", "9", day(1, 20), product="rds"))
    return bob


def settle_at(*instants: object) -> None:
    for at in instants:
        settle(as_of=at, now=NOW)  # type: ignore[arg-type]


def hold(friend: User) -> FraudFlag:
    return open_flag(
        referral_id=Referral.objects.get(friend=friend).pk,
        rule="shared_card",
        severity=FraudFlag.Severity.HOLD,
        evidence={"card": "4242"},
        actor=None,
        reason="a card of carol",
        now=day(2, 1),
    )


# Who may refer


@pytest.mark.parametrize("address", [REFER, "/console/refer/1/", "/console/coupons/", "/console/coupons/1/"])
def test_visitors_are_asked_to_sign_in(address: str) -> None:
    response = Client().get(address)
    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next={address}"


def test_a_new_customer_reads_what_is_still_to_do(alice: User) -> None:
    page = read(alice, REFER)
    assert "Add a payment method" in page
    assert "Verify your identity" in page
    assert "Your link" not in page
    assert "Nobody has joined yet" in page


def test_a_step_that_is_done_is_said_to_be_done(alice: User) -> None:
    add_payment_method(user_id=alice.pk, now=NOW)
    IdentityVerification.objects.create(customer=alice, submitted_digest="digest")
    page = read(alice, REFER)
    assert "Payment method On file." in page
    assert "We are checking your document" in page


def test_an_eligible_customer_has_the_link_and_a_button_to_copy_it(alice: User) -> None:
    make_eligible(alice)
    with_link = Client()
    with_link.force_login(alice)
    page = with_link.get(REFER).content.decode()
    code = ReferralLink.objects.get(owner=alice).code
    assert f'value="http://127.0.0.1:8000/r/{code}"' in page
    assert 'data-copy="link"' in page
    assert "Before you get your link" not in words(page)


def test_a_link_that_is_off_is_not_offered(alice: User) -> None:
    make_eligible(alice)
    switch_link_off(user_id=alice.pk, actor=None, reason="asked for", now=NOW)
    page = read(alice, REFER)
    assert "Your link is switched off" in page
    assert "Copy link" not in page


def test_a_disqualified_customer_reads_so_and_nothing_is_on_its_way(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    disqualify(user_id=alice.pk, actor=None, reason="card theft", refuse_referrals=[], now=day(1, 22))
    page = read(alice, REFER, at=day(2, 1))
    assert "This account may not refer friends" in page
    assert "On its way $0.00" in page
    assert "arriving" not in page
    assert "card theft" not in page


def test_a_second_account_of_a_person_reads_that_the_first_has_the_link(alice: User) -> None:
    carol = register("carol")
    make_eligible(alice)
    IdentityVerification.objects.create(
        customer=carol, state=IdentityVerification.State.PASSED, passed_at=NOW, identity_digest="the same person"
    )
    add_payment_method(user_id=carol.pk, now=NOW)
    assert "Another account of yours refers friends" in read(carol, REFER)


# Figures and friends


def test_a_qualified_friend_shows_when_the_payout_arrives(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    page = read(alice, REFER, at=day(2, 16))
    assert "Joined 1 Qualified 1 Paid to you $0.00 On its way $20.10" in page
    assert "Friend · joined January 2026 Qualified $0.00 $20 arriving in 3 days" in page
    assert "Qualified: waiting until 19 Feb 2026" in page


@pytest.mark.parametrize(
    ("before", "words_for_it"),
    [
        (timedelta(days=3, seconds=1), "in 4 days"),
        (timedelta(days=3), "in 3 days"),
        (timedelta(days=2, seconds=1), "in 3 days"),
        (timedelta(days=1, seconds=1), "in 2 days"),
        (timedelta(days=1), "in 24 hours"),
        (timedelta(hours=2), "in 2 hours"),
        (timedelta(hours=1), "within the hour"),
        (timedelta(), "any moment now"),
        (timedelta(days=-1), "any moment now"),
    ],
)
def test_the_wait_is_worded_rounded_up(alice: User, bob: User, before: timedelta, words_for_it: str) -> None:
    settle_at(day(1, 21))
    assert f"$20 arriving {words_for_it} " in read(alice, REFER, at=day(2, 19) - before)


def test_a_friend_is_a_month_and_a_stage_and_never_a_name(alice: User, bob: User) -> None:
    settle_at(day(5, 1))
    for address in (REFER, friend_address(bob), "/console/coupons/"):
        page = read(alice, address)
        assert "bob" not in page
        assert "example.com" not in page.replace("alice@example.com", "")
        assert "rds" not in page
        assert "$12" not in page
        assert "$9.00" not in page


def test_every_stage_has_its_words(alice: User, bob: User) -> None:
    for name, amount in (("carol", "19.99"), ("dave", "20"), ("erin", "20"), ("frank", "20")):
        record(fact(register(name, referred_by=alice), f"of-{name}", amount, day(1, 10)))
    friends = {user.account_id: user for user in User.objects.all()}
    settle_at(day(2, 10))
    hold(friends["erin"])
    refuse(referral_id=Referral.objects.get(friend=friends["frank"]).pk, actor=None, reason="same", now=day(2, 10))
    record(chargeback(friends["dave"], "back", "20", "of-dave"))
    settle_at(day(2, 10))
    stages = {friend: read(alice, friend_address(friends[friend])) for friend in ("carol", "dave", "erin", "frank")}
    assert "joined January 2026 Joined" in stages["carol"]
    assert "joined January 2026 Clawed back" in stages["dave"]
    assert "joined January 2026 Under review" in stages["erin"]
    assert "joined January 2026 Refused" in stages["frank"]
    assert "joined January 2026 Qualified" in read(alice, friend_address(bob), at=day(2, 10))
    assert "joined January 2026 Paid" in read(alice, friend_address(settled(bob)))


def settled(friend: User) -> User:
    settle_at(day(5, 1))
    return friend


def test_credit_that_waits_for_a_review_is_told_apart(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    hold(bob)
    page = read(alice, REFER, at=day(2, 16))
    assert "On its way $0.00 $20.10 more is under review" in page
    assert "Waits for the review" in page


def test_friends_come_page_by_page_the_newest_first(alice: User) -> None:
    for number in range(27):
        register(f"friend-{number:02}", referred_by=alice, at=JANUARY + timedelta(days=31 * (number // 9)))
    client = Client()
    client.force_login(alice)
    first = client.get(REFER)
    shown = [friend.referral.pk for friend in first.context["page"].friends.rows]
    second = client.get(f"{REFER}?after={first.context['page'].friends.next}")
    shown += [friend.referral.pk for friend in second.context["page"].friends.rows]
    assert len(first.context["page"].friends.rows) == 25
    assert shown == list(Referral.objects.order_by("-registered_at", "-pk").values_list("pk", flat=True))
    assert "Older friends" in words(first.content.decode())
    assert "Older friends" not in words(second.content.decode())
    assert "Back to the newest" in words(second.content.decode())


@pytest.mark.parametrize("place", ["x", "1", "1_", "_1", "1_x", "1_-1", "9" * 30 + "_1", f"1_{2**63}"])
def test_a_place_that_is_none_is_refused(alice: User, place: str) -> None:
    assert "could not be read" in read(alice, f"{REFER}?after={place}", status=400)


def test_the_numbers_are_those_of_the_terms(alice: User) -> None:
    ProgrammeTerms.objects.create(
        starts_at=day(6, 1), payout=35, qualifying_threshold=40, bonus_rate="0.125", cap_per_friend=500
    )
    before, after = read(alice, REFER, at=day(5, 31)), read(alice, REFER, at=day(6, 1))
    assert "spends $20 or more on qualifying products brings you $20 in credit, and 10% of" in before
    assert "spends $40 or more on qualifying products brings you $35 in credit, and 12.5% of" in after
    assert "up to $500 for each friend" in after


# One friend


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
    assert "Due 19 Feb 2026, 00:00" in page
    assert "Spend in the first 90 days $21.00 10% of ($21.00 − $20.00) $0.10 Bonus $0.10" in page
    assert "Due 1 May 2026, 00:00" in page
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
        "10% of ($31.00 − $20.00) = $1.10 → bonus $1.10. $0.10 of it was yours already, so $1.00 was granted." in page
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


def test_times_are_in_the_zone_of_the_reader_which_is_named(alice: User, bob: User) -> None:
    settle_at(day(1, 21))
    alice.time_zone = "America/Los_Angeles"
    alice.save(update_fields=["time_zone"])
    page = read(alice, friend_address(bob), at=day(1, 21))
    assert "Friend · joined December 2025" in page
    assert "Due 18 Feb 2026, 16:00" in page
    assert "Times are in America/Los_Angeles." in page
    assert "Times are in UTC." in read(bob, REFER)


def test_a_zone_that_nobody_knows_is_utc(alice: User) -> None:
    alice.time_zone = "Mars/Olympus"
    alice.save(update_fields=["time_zone"])
    assert "Times are in UTC." in read(alice, REFER)


@pytest.mark.parametrize("address", [REFER, "/console/coupons/"])
def test_pages_hold_no_inline_style_or_script(alice: User, bob: User, address: str) -> None:
    client = Client()
    client.force_login(alice)
    page = client.get(address).content.decode()
    assert " style=" not in page
    assert "<style" not in page
    assert "<script>" not in page
    assert " onclick=" not in page


@pytest.mark.parametrize("code", [400, 403, 404, 500])
def test_the_page_of_an_error_needs_nothing_but_itself(code: int) -> None:
    page = words(render_to_string(f"{code}.html"))
    assert f"Error {code}" in page
    assert "To the start page" in page
