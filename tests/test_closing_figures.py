"""What closing an account would cost, in figures: each is what the closing then takes."""

from __future__ import annotations

import pytest
from django.test import Client
from djmoney.money import Money
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from credits.operations import redeem
from referrals.operations import close_account, settle
from referrals.queries.closing import closing
from tests.facts import JANUARY, NOW, chargeback, day, fact, record, register
from tests.newcomers import PASSWORD, referrer
from tests.pages import words

pytestmark = pytest.mark.django_db(transaction=True)

AT = day(2, 20)


@pytest.fixture
def alice() -> User:
    """Bob's payout of $20 is usable and his bonus of $10 is to come; cem's payout was spent, and is a debt."""
    alice = referrer("alice", at=JANUARY).owner
    bob, cem = register("bob", referred_by=alice), register("cem", referred_by=alice)
    record(fact(cem, "cem-20", "20", day(1, 3)))
    settle(as_of=day(2, 2), now=NOW)
    whole = Money("20", "USD")
    redeem(source="t", redemption_id="o", customer_id=alice.pk, amount=whole, occurred_at=day(2, 3), now=NOW)
    record(fact(bob, "bob-120", "120", day(1, 5)))
    settle(as_of=day(2, 10), now=NOW)
    record(chargeback(cem, "cem-back", "20", "cem-20"))
    settle(as_of=day(2, 11), now=NOW)
    return alice


def test_figures_are_what_goes(alice: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(4):
        figures = closing(customer_id=alice.pk, now=AT)
    assert [(loss.kind, loss.coupons, loss.left) for loss in figures.credit] == [("payout", 1, Money(20, "USD"))]
    assert (figures.credit_in_all, figures.trial) == (Money(20, "USD"), Money(300, "USD"))
    assert (figures.lapsing, figures.lapsing_rewards, figures.friends) == (Money(10, "USD"), 1, 2)
    assert (figures.debts, figures.has_link) == (Money(20, "USD"), True)


def test_closing_takes_what_was_said(alice: User) -> None:
    figures = closing(customer_id=alice.pk, now=AT)
    closed = close_account(user_id=alice.pk, now=AT)
    assert Money(closed.revoked, "USD") == figures.credit_in_all + figures.trial
    assert Money(closed.written_off, "USD") == figures.debts


def test_page_shows_them(alice: User, client: Client) -> None:
    alice.set_password(PASSWORD)
    alice.save(update_fields=["password"])
    client.force_login(alice)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = words(client.get("/console/profile/close/").content.decode())
    # The coupon of February has expired by today; what lapses and what is owed has not.
    assert "Rewards that lapse $10.00 1 reward earned, not granted yet" in page
    assert "Debts written off $20.00 nothing is charged to you" in page
    assert "Your link goes off." in page
    assert "2 friends whom you referred keep everything" in page
