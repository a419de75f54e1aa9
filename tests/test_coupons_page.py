"""Coupons and the page of one coupon, as their reader sees them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client
from djmoney.money import Money

from accounts.models import User
from billing.models import Product
from credits.models import Coupon, CouponKind
from credits.operations import NewCoupon, issue_coupons, redeem
from credits.queries import PAGE_SIZE, Shelf, coupons, on_shelf, shelf_of
from referrals.models import ProgrammeTerms, Referral
from referrals.operations import close_account, disqualify, refuse, settle
from referrals.queries.friends import PAGE_SIZE as FRIENDS_PAGE_SIZE
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, register
from tests.pages import read

pytestmark = pytest.mark.django_db(transaction=True)

COUPONS = "/console/coupons/"
TICK = timedelta(microseconds=1)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """Worked example 1: payout due on 19 February, bonus on 1 May."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "12", day(1, 5)), fact(bob, "rds", "9", day(1, 20), product="rds"))
    return bob


def settle_at(*instants: datetime) -> None:
    for at in instants:
        settle(as_of=at, now=NOW)


def spend_credit(user: User, amount: str, at: datetime, redemption_id: str = "order-1") -> None:
    redeem(
        source="test", redemption_id=redemption_id, customer_id=user.pk, amount=Money(amount, "USD"), occurred_at=at,
        now=NOW,
    )  # fmt: skip


def coupon_of(user: User, kind: str) -> Coupon:
    return Coupon.objects.filter(customer=user.pk, kind=kind).order_by("-pk")[0]


def address(coupon: Coupon) -> str:
    return f"{COUPONS}{coupon.pk}/"


# Balance


def test_credit_and_trial_are_told_apart(alice: User, bob: User) -> None:
    page = read(bob, COUPONS, at=day(1, 2))
    assert "Usable credit $5.00 Expiring soonest $5.00 in 179 days · 30 Jun 2026 Free trial $300.00" in page
    assert "until 1 Jan 2027" in page
    assert "Welcome credit For joining through a friend's link $5.00 $5.00 1 Jan 2026 30 Jun 2026" in page
    page = read(alice, COUPONS, at=day(1, 2))
    assert "Usable credit $0.00 Free trial $300.00" in page
    assert "Expiring soonest" not in page


def test_the_part_that_expires_soonest_is_the_one_used_first(alice: User, bob: User) -> None:
    settle_at(day(2, 19), day(5, 1))
    page = read(alice, COUPONS, at=day(5, 1))
    assert "Usable credit $20.10 Expiring soonest $20.00 in 109 days · 18 Aug 2026" in page
    spend_credit(alice, "20.05", day(5, 2))
    assert "Usable credit $0.05 Expiring soonest $0.05 in 179 days · 28 Oct 2026" in read(alice, COUPONS, at=day(5, 2))


def test_all_that_expires_soonest_counts_however_many_coupons_it_is_on(alice: User, bob: User) -> None:
    settle_at(day(5, 1))
    assert "Usable credit $20.10 Expiring soonest $20.10" in read(alice, COUPONS, at=day(5, 1))
    assert "Expiring soonest $20.10" in read(alice, "/console/", at=day(5, 1))


def test_a_coupon_is_usable_until_it_expires_swept_or_not(bob: User) -> None:
    welcome = coupon_of(bob, CouponKind.WELCOME)
    last = read(bob, COUPONS, at=welcome.expires_at - TICK)
    assert "Usable credit $5.00" in last
    assert "Usable 2 Used up 0 Expired 0" in last
    expired = read(bob, COUPONS, at=welcome.expires_at)
    assert "Usable credit $0.00" in expired
    assert "Usable 1 Used up 0 Expired 1" in expired
    unswept = read(bob, f"{COUPONS}?show=expired", at=welcome.expires_at)
    settle_at(welcome.expires_at)
    assert read(bob, f"{COUPONS}?show=expired", at=welcome.expires_at) == unswept
    assert "$5.00 $0.00 1 Jan 2026 30 Jun 2026" in unswept


def test_frozen_credit_is_said_to_be_frozen(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    assert "Your credit is frozen" not in read(alice, COUPONS)
    disqualify(user_id=alice.pk, actor=None, reason="card theft", refuse_referrals=[], now=day(2, 20))
    page = read(alice, COUPONS, at=day(2, 21))
    assert "Your credit is frozen since 20 Feb 2026" in page
    assert "Usable credit $0.00 Your credit is frozen $20.00" in page
    assert "card theft" not in page


def test_a_coupon_that_expires_within_a_fortnight_is_marked(bob: User) -> None:
    welcome = coupon_of(bob, CouponKind.WELCOME)
    soon = timedelta(days=14)
    for at, marked in ((welcome.expires_at - soon - TICK, False), (welcome.expires_at - soon, True)):
        with time_machine.travel(at, tick=False):
            client = Client()
            client.force_login(bob)
            assert (b"coupons__soon" in client.get(COUPONS).content) == marked


def test_what_credit_buys_and_what_the_trial_buys_stand_below_the_list(bob: User) -> None:
    Product.objects.filter(code="cdn").update(accepts_trial=False)
    credit, trial = read(bob, COUPONS).split("Where it can be used")[1].split("Free trial Pays for")
    assert "Content Delivery Network" in credit.split("Not for")[0]
    assert "Content Delivery Network" in trial.split("Not for")[1]


# Shelves


def test_each_coupon_stands_on_one_shelf(alice: User, bob: User) -> None:
    settle_at(day(2, 19), day(5, 1))
    spend_credit(alice, "15", day(5, 2))
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    record(dispute_won(bob, "won", "12", "ecs", day(5, 5)))
    settle_at(day(5, 6))
    spend_credit(alice, "5", day(5, 7), "order-2")
    for at in (day(5, 8), day(12, 1), JANUARY, JANUARY + timedelta(days=365)):
        for coupon in Coupon.objects.filter(issued_at__lte=at):
            standing = [shelf for shelf in Shelf if Coupon.objects.filter(on_shelf(shelf, at), pk=coupon.pk).exists()]
            assert standing == [shelf_of(coupon, at)]
    page = read(alice, COUPONS, at=day(5, 8))
    assert "Usable 2 Used up 1 Expired 0 Revoked 2" in page
    assert "Payout Friend · joined January 2026 $5.00 $0.00" in read(alice, f"{COUPONS}?show=used-up")
    assert "Payout Friend · joined January 2026 $20.00 $0.00" in read(alice, f"{COUPONS}?show=revoked")


@pytest.mark.parametrize(
    ("shelf", "words"),
    [
        ("usable", "Refer a friend: when they qualify"),
        ("used-up", "Nothing used up yet"),
        ("expired", "Nothing has expired"),
        ("revoked", "Nothing was revoked"),
    ],
)
def test_an_empty_shelf_says_what_comes_there(shelf: str, words: str) -> None:
    staff = User.objects.create_user("staff@example.com", created_at=NOW, is_staff=True)
    assert words in read(staff, f"{COUPONS}?show={shelf}")


@pytest.mark.parametrize("query", ["show=all", "after=x"])
def test_what_is_no_shelf_or_place_is_refused(alice: User, query: str) -> None:
    read(alice, f"{COUPONS}?{query}", status=400)


@pytest.mark.parametrize("shelf", [Shelf.USABLE, Shelf.EXPIRED])
def test_coupons_come_page_by_page(alice: User, shelf: Shelf) -> None:
    issued = [JANUARY + timedelta(days=number // 3) for number in range(60)]
    gifts = [
        NewCoupon(alice.pk, CouponKind.GOODWILL, None, f"gift:{number}", Money(1, "USD").amount, at, at + timedelta(30))
        for number, at in enumerate(issued)
    ]
    issue_coupons(coupons=gifts, now=NOW)
    at = issued[-1] if shelf is Shelf.USABLE else day(12, 1)
    seen: list[Coupon] = []
    page = coupons(customer_id=alice.pk, shelf=shelf, after=None, now=at)
    while page.next:
        assert len(page.rows) == PAGE_SIZE == FRIENDS_PAGE_SIZE, "a page costs what one of friends does"
        seen += page.rows
        page = coupons(customer_id=alice.pk, shelf=shelf, after=page.next, now=at)
    seen += page.rows
    order = ("expires_at", "pk") if shelf is Shelf.USABLE else ("-expires_at", "-pk")
    assert seen == list(Coupon.objects.filter(on_shelf(shelf, at), customer=alice.pk).order_by(*order))
    assert len(seen) == 60 + (shelf is Shelf.USABLE)
    assert "Next page" in read(alice, f"{COUPONS}?show={shelf.value}", at=at)


# Debts


def test_an_open_debt_is_told_with_its_cause(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    spend_credit(alice, "15", day(2, 20))
    assert "To be set against" not in read(alice, COUPONS)
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    page = read(alice, COUPONS)
    assert "To be set against your next rewards: $15; nothing is charged to you" in page
    assert "Payout · Friend · joined January 2026: a payment was reversed, 4 May 2026 $15.00" in page
    record(dispute_won(bob, "won", "12", "ecs", day(5, 5)))
    settle_at(day(5, 6))
    assert "To be set against" not in read(alice, COUPONS)


def test_a_friend_has_a_name_only_if_they_chose_one(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    spend_credit(alice, "15", day(2, 20))
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    payout = coupon_of(alice, CouponKind.PAYOUT)
    pages = (COUPONS, f"{COUPONS}?show=revoked", address(payout))
    assert all("Friend · joined January 2026" in read(alice, page) for page in pages)
    User.objects.filter(pk=bob.pk).update(public_first_name="Bea")
    assert all("Bea · joined January 2026" in read(alice, page) for page in pages)
    close_account(user_id=bob.pk, now=day(6, 1))
    assert all("Former customer · joined January 2026" in read(alice, page) for page in pages)
    assert not any("Bea" in read(alice, page) for page in pages)


def test_a_debt_of_a_refused_referral_says_so(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    spend_credit(alice, "15", day(2, 20))
    refuse(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="same person", now=day(3, 1))
    settle_at(day(3, 2))
    page = read(alice, COUPONS)
    assert "Payout · Friend · joined January 2026: the referral was refused, 2 Mar 2026 $15.00" in page
    assert "same person" not in page


# One coupon


def test_a_payout_coupon_says_why_it_is_that_much(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    page = read(alice, address(coupon_of(alice, CouponKind.PAYOUT)))
    assert "Payout of $20.00" in page
    assert "Amount $20.00 Left = $0.00 Used + $0.00 Expired + $20.00 Revoked + $0.00" in page
    assert "Why it is $20.00 Friend · joined January 2026, as of 19 Feb 2026, 00:00:" in page
    assert "Qualifying spend $21.00 ≥ $20.00 Payout $20.00" in page


def test_a_coupon_keeps_the_facts_that_it_was_computed_from(alice: User, bob: User) -> None:
    settle_at(day(5, 1))
    record(fact(bob, "late", "10", day(1, 30)))
    settle_at(day(5, 2))
    first, second = Coupon.objects.filter(customer=alice.pk, kind=CouponKind.BONUS).order_by("pk")
    assert "10% of ($21.00 − $20.00) $0.10 Bonus $0.10" in read(alice, address(first))
    page = read(alice, address(second))
    assert "10% of ($31.00 − $20.00) $1.10 Bonus $1.10" in page
    assert "Yours already −$0.10 This coupon $1.00" in page


def test_a_coupon_that_a_debt_made_smaller_says_so(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    spend_credit(alice, "15", day(2, 20))
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    record(dispute_won(bob, "won", "12", "ecs", day(5, 5)))
    settle_at(day(5, 6))
    page = read(alice, address(coupon_of(alice, CouponKind.PAYOUT)))
    assert "Payout $20.00 Settled what was owed from before −$15.00 This coupon $5.00" in page


def test_welcome_and_trial_name_the_account_type_and_the_terms(alice: User) -> None:
    carol = register("carol", referred_by=alice, account_type="enterprise")
    welcome = read(carol, address(coupon_of(carol, CouponKind.WELCOME)))
    assert "credit for 180 days: $5.00 as an individual, $10.00 as an enterprise." in welcome
    assert "Your account joined as an enterprise: $10.00." in welcome
    trial = read(alice, address(coupon_of(alice, CouponKind.TRIAL)))
    assert "a free trial of 365 days: $300.00 as an individual, $1,200.00 as an enterprise." in trial
    assert "Your account joined as an individual: $300.00." in trial


def test_the_terms_of_a_gift_are_those_of_its_owners_registration(alice: User) -> None:
    ProgrammeTerms.objects.create(starts_at=day(3, 1), trial_individual=111, trial_valid_days=50)
    dave = register("dave", at=day(3, 1))
    page = read(dave, address(coupon_of(dave, CouponKind.TRIAL)))
    assert "a free trial of 50 days: $111.00 as an individual" in page
    assert "$300.00 as an individual" in read(alice, address(coupon_of(alice, CouponKind.TRIAL)))


@pytest.mark.untrue_rows("first_coupons_are_by_the_terms")
def test_the_difference_for_an_enterprise_says_what_it_is(bob: User) -> None:
    issue_coupons(
        coupons=[
            NewCoupon(
                bob.pk, CouponKind.WELCOME, None, f"welcome-upgrade:{bob.pk}", Money(5, "USD").amount, JANUARY, NOW
            )
        ],
        now=NOW,
    )
    assert "the difference followed: $10.00 − $5.00 = $5.00." in read(bob, address(coupon_of(bob, CouponKind.WELCOME)))


def test_what_a_coupon_buys_is_what_the_catalogue_says(bob: User) -> None:
    Product.objects.create(
        code="odd", name="Odd service", family=Product.Family.DNS, earns_credit=False, accepts_credit=True,
        accepts_trial=False,
    )  # fmt: skip
    for kind, buys in ((CouponKind.WELCOME, True), (CouponKind.TRIAL, False)):
        page = read(bob, address(coupon_of(bob, kind)))
        pays_for, not_for = page.split("Where it can be used")[1].split("Not for")
        assert "Elastic Compute Service" in pays_for
        assert "Content Delivery Network" in pays_for
        assert "Domain registration" in not_for
        assert ("Odd service" in pays_for) == buys
        assert ("Odd service" in not_for) != buys


def test_every_movement_stands_with_what_was_left_after_it(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    spend_credit(alice, "15", day(2, 20), "order-77")
    record(chargeback(bob, "back", "12", "ecs", day(5, 3)))
    settle_at(day(5, 4))
    page = read(alice, address(coupon_of(alice, CouponKind.PAYOUT)))
    assert "Amount $20.00 Left = $0.00 Used + $15.00 Expired + $0.00 Revoked + $5.00" in page
    assert "Received 19 Feb 2026, 00:00 +$20.00 $20.00" in page
    assert "Used Order order-77 20 Feb 2026, 00:00 −$15.00 $5.00" in page
    assert "Revoked 4 May 2026, 00:00 −$5.00 $0.00" in page


def test_movements_come_page_by_page(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    for number in range(60):
        spend_credit(alice, "0.01", day(2, 20), f"order-{number}")
    coupon = coupon_of(alice, CouponKind.PAYOUT)
    client = Client()
    client.force_login(alice)
    first = client.get(address(coupon)).context["page"]
    second = client.get(f"{address(coupon)}?after={first.next_entry}").context["page"]
    assert [entry.pk for entry in (*first.entries, *second.entries)] == [
        entry.pk for entry in coupon.entries.order_by("pk")
    ]
    assert len(first.entries) == 50
    assert second.next_entry is None
    read(alice, f"{address(coupon)}?after=x", status=400)


def test_another_customers_coupon_is_not_found(alice: User, bob: User) -> None:
    welcome = coupon_of(bob, CouponKind.WELCOME)
    read(bob, address(welcome))
    assert "There is no such page" in read(alice, address(welcome), status=404)
