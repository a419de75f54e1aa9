"""My own referral, as the friend sees it: what counts, and what the referrer sees."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from djmoney.money import Money

from accounts.models import User
from credits.operations import redeem
from referrals.models import ProgrammeTerms, Referral
from referrals.operations import close_account, disqualify, refuse
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, refund, register
from tests.pages import friend_address, read, signed_in, words
from tests.referring import REFER, alice, bob, hold, settle_at

__all__ = ["alice", "bob"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "/console/refer/own/"
TICK = timedelta(microseconds=1)


def test_who_joined_without_a_link_reads_so(alice: User) -> None:
    assert "Nobody referred you" in read(alice, OWN)
    assert Client().get(OWN).status_code == 302


def test_each_payment_says_whether_it_counts_and_why(alice: User, bob: User) -> None:
    window = JANUARY + timedelta(days=90)
    record(
        fact(bob, "cdn", "500", day(2, 1), product="cdn"),
        fact(bob, "last", "30", window - TICK),
        fact(bob, "late", "40", window),
        fact(bob, "gone", "7", day(2, 2)),
        fact(bob, "part", "8", day(2, 3)),
    )
    record(refund(bob, "gone-back", "7", "gone"), refund(bob, "part-back", "3", "part"))
    page = read(bob, OWN)
    towards = "Towards $20 and towards the bonus."
    assert f"20 Jan 2026, 00:00 $9.00 $9.00 counts {towards}" in page
    assert "1 Feb 2026, 00:00 $500.00 Does not count This product does not earn for your referrer." in page
    assert "2 Feb 2026, 00:00 $7.00 $7.00 reversed Does not count It was reversed in full." in page
    assert f"3 Feb 2026, 00:00 $8.00 $3.00 reversed $5.00 counts {towards} What was reversed does not." in page
    assert f"31 Mar 2026, 23:59 $30.00 $30.00 counts {towards}" in page
    assert (
        "1 Apr 2026, 00:00 $40.00 $40.00 counts Towards $20, not towards the bonus: it came after 1 Apr 2026, 00:00."
        in page
    )


def test_what_counts_adds_up_to_what_the_referrer_earns_by(alice: User, bob: User) -> None:
    record(fact(bob, "gone", "7", day(2, 2)), fact(bob, "cdn", "500", day(2, 1), product="cdn"))
    record(chargeback(bob, "gone-back", "7", "gone"), dispute_won(bob, "gone-won", "2.50", "gone"))
    settle_at(day(2, 3))
    counted = [Money(found, "USD") for found in re.findall(r"\$([\d.]+) counts", read(bob, OWN))]
    assert sum(counted, Money(0, "USD")) == Referral.objects.get(friend=bob).qualifying_spend == Money("23.50", "USD")


def test_a_payment_counts_with_what_is_left_of_it_to_the_cent(alice: User) -> None:
    carol = register("carol", referred_by=alice)
    record(fact(carol, "ecs", "25.01", day(1, 5)), refund(carol, "back", "0.02", "ecs"))
    assert "$25.01 $0.02 reversed $24.99 counts" in read(carol, OWN)


def test_payments_come_page_by_page_the_latest_first(alice: User, bob: User) -> None:
    record(*(fact(bob, f"more-{number:02}", "1", day(2, 1) + timedelta(days=number // 3)) for number in range(30)))
    first = signed_in(bob).get(OWN)
    second = signed_in(bob).get(f"{OWN}?after={first.context['page'].payments.next}")
    shown = [payment.event.pk for answer in (first, second) for payment in answer.context["page"].payments.rows]
    assert len(shown) == len(set(shown)) == 32
    assert len(first.context["page"].payments.rows) == 25
    assert "Next page" in words(first.content.decode())
    read(bob, f"{OWN}?after=x", status=400)


# What the referrer sees


def shown_row(reader: User, address: str) -> str:
    """The line of the only friend in a list, without its links."""
    page = signed_in(reader).get(address).content.decode()
    (row,) = re.findall(r"<tr>\s*<td>(?:<a[^>]*>)?Friend ·.*?</tr>", page, re.DOTALL)
    return words(row)


def events(reader: User, address: str) -> list[str]:
    """The names of the timeline's events, whoever reads them."""
    page = signed_in(reader).get(address).content.decode()
    named = re.findall(r"<h3>(.*?)</h3>", page[page.index('class="timeline"') :])
    return [words(name).replace("You joined", "Your friend joined") for name in named]


def test_the_friend_sees_the_very_line_and_timeline_of_the_referrer(alice: User, bob: User) -> None:
    for act in (
        lambda: None,
        lambda: settle_at(day(1, 21)),
        lambda: hold(bob),
        lambda: refuse(referral_id=Referral.objects.get(friend=bob).pk, actor=None, reason="x", now=day(2, 2)),
    ):
        act()
        assert shown_row(bob, OWN) == shown_row(alice, REFER)
        assert events(bob, OWN) == events(alice, friend_address(bob))


def end(referrer: User, how: str) -> None:
    if how == "closed":
        close_account(user_id=referrer.pk, now=day(1, 4))
    else:
        disqualify(user_id=referrer.pk, actor=None, reason="x", refuse_referrals=[], now=day(1, 4))


@pytest.mark.parametrize("how", ["closed", "disqualified"])
def test_nothing_is_promised_to_a_referrer_who_gets_no_more(alice: User, how: str) -> None:
    carol = register("carol", referred_by=alice)
    record(fact(carol, "half", "10", day(1, 3)))
    settle_at(day(1, 4))
    before = read(carol, OWN)
    assert "Once you have spent $20 on qualifying products they receive $20" in before
    assert "$20 is your referrer's 30 days later" in before
    end(alice, how)
    page = read(carol, OWN)
    assert "Your referrer gets no more rewards, whatever you spend." in page
    assert "At least half of $20" in page
    for promise in ("Once you have spent", "is your referrer's", "products they receive", "The bonus is"):
        assert promise not in page


def test_nothing_is_promised_to_who_gets_no_more(alice: User) -> None:
    carol = register("carol", referred_by=alice)
    end(alice, "disqualified")
    page = read(alice, friend_address(carol))
    assert "Your account gets no more rewards" in page
    assert "is yours" not in page


@pytest.mark.parametrize("held", [False, True])
def test_nothing_is_on_its_way_to_a_referrer_who_has_closed_the_account(alice: User, bob: User, held: bool) -> None:
    settle_at(day(1, 21))
    if held:
        hold(bob)
    assert "Due, and earliest arrival" in read(bob, OWN, at=day(2, 2))
    close_account(user_id=alice.pk, now=day(2, 2))
    page = read(bob, OWN, at=day(2, 3))
    assert "Bonus $0.10" in page
    for promise in ("arriv", "Waiting until", "Payout of $20.00 due"):
        assert promise not in page


def test_the_friend_does_not_see_what_became_of_the_referrers_credit(alice: User, bob: User) -> None:
    settle_at(day(2, 19))
    redeem(
        source="test",
        redemption_id="order-1",
        customer_id=alice.pk,
        amount=Money(15, "USD"),
        occurred_at=day(2, 20),
        now=NOW,
    )
    record(chargeback(bob, "back", "12", "ecs", day(2, 21)))
    settle_at(day(2, 22))
    client = signed_in(bob)
    page = client.get(OWN).content.decode()
    assert "$20.00 of the payout clawed back" in words(page)
    assert "A payment was reversed." in words(page)
    for of_alice in ("alice", "/console/coupons/1", "revoked", "had been used", "Coupon of"):
        assert of_alice not in page
    assert "That is theirs, and not shown here." in words(page)
    assert friend_address(bob) not in page


def test_the_numbers_are_those_of_the_terms_under_which_the_friend_joined(alice: User, bob: User) -> None:
    ProgrammeTerms.objects.create(starts_at=day(1, 2), payout=35, qualifying_threshold=30, bonus_window_days=60)
    carol = register("carol", referred_by=alice, at=day(1, 3))
    record(fact(carol, "of-carol", "31", day(1, 3) + timedelta(days=60)))
    assert "Once you have spent $20 on qualifying products they receive $20" in read(bob, OWN)
    page = read(carol, OWN)
    assert "Once you have spent $30 on qualifying products they receive $35" in page
    assert "Towards $30, not towards the bonus: it came after 4 Mar 2026, 00:00." in page
