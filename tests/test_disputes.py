"""Charges that the cardholder's bank takes back, and gives back where the dispute is won: what that does to the order's
spend, line by line. How Stripe tells of them is in tests/test_stripe_disputes.py."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from djmoney.money import Money

from accounts.models import User
from billing.gateways import ToldDispute
from billing.models import Dispute, Order
from billing.operations import UnableToRecordDispute, UnableToRefund, pay_order, place_order, record_dispute
from billing.operations.disputes import finish_what_is_disputed
from credits.models import Coupon
from credits.operations import redeem
from referrals.models import Referral
from referrals.operations import settle
from tests.facts import NOW, day, register
from tests.ordering import buy, give_card, give_credit, terms_of
from tests.refunding import dispute, left, nobody_there, parts, refund, spend, told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    user = register("alice")
    give_card(user)
    return user


@pytest.fixture
def order(alice: User) -> Order:
    """$20 of cash for servers, beside as much credit and $300 of trial; and $11.99 of cash for a domain."""
    give_credit(alice, "20")
    return buy(alice, ecs=40, domain=1)


def disputed(of: Dispute | None) -> dict[int, Decimal]:
    assert of is not None
    return {line.line.position: line.amount.amount for line in of.lines.all()}


def test_disputed_charge_is_charged_back_line_by_line(order: Order) -> None:
    opened = dispute(order, "31.99")
    assert disputed(opened) == {1: 20, 2: Decimal("11.99")}
    assert spend(order)[2:] == [("chargeback", "1", 20), ("chargeback", "2", Decimal("11.99"))]


def test_part_of_a_charge_is_spread_over_its_lines_to_the_cent(order: Order) -> None:
    opened = dispute(order, "10.01")
    assert disputed(opened) == {1: Decimal("6.26"), 2: Decimal("3.75")}


def test_dispute_that_is_won_brings_the_spend_back(order: Order) -> None:
    dispute(order, "31.99")
    won = dispute(order, "31.99", "won", at=day(11, 2))
    assert won is not None
    assert (won.state, won.opened_at, won.ended_at) == ("won", NOW, day(11, 2))
    assert spend(order)[4:] == [("chargeback_reversal", "1", 20), ("chargeback_reversal", "2", Decimal("11.99"))]
    assert left(order) == {1: 340, 2: Decimal("11.99")}


def test_dispute_that_is_lost_leaves_the_spend_charged_back(order: Order) -> None:
    dispute(order, "31.99")
    lost = dispute(order, "31.99", "lost")
    assert lost is not None
    assert lost.state == "lost"
    assert len(spend(order)) == 4


def test_dispute_that_is_told_twice_counts_once(order: Order) -> None:
    for state in ("open", "open", "won", "won"):
        dispute(order, "31.99", state)
    assert len(spend(order)) == 6
    assert Dispute.objects.count() == 1


def test_dispute_that_is_first_heard_of_when_won_charges_nothing_back(order: Order) -> None:
    """Its events came in another order, or the first ones never."""
    won = dispute(order, "31.99", "won")
    assert disputed(won) == {}
    dispute(order, "31.99", "open")
    assert len(spend(order)) == 2
    assert Dispute.objects.get().state == "won"


def test_dispute_that_is_first_heard_of_when_lost_is_charged_back(order: Order) -> None:
    dispute(order, "31.99", "lost")
    dispute(order, "31.99", "open")
    assert len(spend(order)) == 4
    assert Dispute.objects.get().state == "lost"


def test_dispute_that_was_lost_may_be_won_after_all(order: Order) -> None:
    for state in ("open", "lost", "won", "lost"):
        dispute(order, "31.99", state)
    assert len(spend(order)) == 6
    assert Dispute.objects.get().state == "won"


def test_two_disputes_take_no_more_than_was_paid(order: Order) -> None:
    dispute(order, "20")
    second = dispute(order, "20", dispute_id="dp_2")
    assert sum(disputed(second).values()) == Decimal("11.99")
    assert sum(amount for kind, _, amount in spend(order) if kind == "chargeback") == Decimal("31.99")


def test_dispute_about_a_charge_that_is_not_ours_is_nothing(order: Order) -> None:
    of_others = ToldDispute("dp_9", ("ch_of_others", "pi_of_others"), "order:NOTOURS", Decimal(5), "open")
    assert record_dispute(gateway="sandbox", told=of_others, now=NOW) is None
    assert record_dispute(gateway="stripe", told=told(order, "5"), now=NOW) is None
    assert not Dispute.objects.exists()


# Beside refunds


def test_dispute_after_a_refund_takes_what_cash_is_left(order: Order) -> None:
    refund(order, (1, "170"))
    assert disputed(dispute(order, "31.99")) == {1: 10, 2: Decimal("11.99")}
    assert left(order)[2] == 0


def test_dispute_after_the_whole_came_back_takes_nothing(order: Order) -> None:
    refund(order)
    assert disputed(dispute(order, "31.99")) == {}


def test_refund_beside_a_dispute_is_limited_to_the_cash_left(order: Order) -> None:
    """$10 of the $20 are disputed: what stays is refundable as long as its cash is at most the other $10."""
    dispute(order, "15.99")
    half = disputed(Dispute.objects.get())[1]
    most = left(order)[1]
    with pytest.raises(UnableToRefund) as refusal:
        refund(order, (1, str(most + Decimal("0.01"))))
    assert refusal.value.code == "exceeds"
    cash, _, _ = parts(refund(order, (1, str(most))))
    assert cash == 20 - half


def test_won_dispute_makes_its_cash_refundable_again(order: Order) -> None:
    dispute(order, "31.99")
    assert left(order)[2] == 0
    dispute(order, "31.99", "won")
    assert parts(refund(order)) == (Decimal("31.99"), 20, 300)


def test_dispute_waits_for_a_refund_on_its_way(order: Order) -> None:
    """How much cash is left depends on how that ends."""
    with nobody_there():
        refund(order, (1, "170"))
        finish_what_is_disputed(gateway="sandbox", told=told(order, "31.99"), now=NOW)
        with pytest.raises(UnableToRecordDispute):
            dispute(order, "31.99")
    finish_what_is_disputed(gateway="sandbox", told=told(order, "31.99"), now=NOW)
    assert disputed(dispute(order, "31.99")) == {1: 10, 2: Decimal("11.99")}


# Beside the payment


def test_dispute_finishes_the_payment_that_it_is_about_first(alice: User) -> None:
    """Charged, and the process gone before it could record that: the gateway's word comes first."""
    order = place_order(**terms_of(alice, at=NOW, domain=1))
    by_key = ToldDispute("dp_1", ("of a charge unknown yet",), order.charge.key, Decimal("11.99"), "open")
    with pytest.raises(UnableToRecordDispute):
        record_dispute(gateway="sandbox", told=by_key, now=NOW)
    finish_what_is_disputed(gateway="sandbox", told=by_key, now=NOW)
    assert disputed(record_dispute(gateway="sandbox", told=by_key, now=NOW)) == {1: Decimal("11.99")}
    assert [kind for kind, _, _ in spend(order)] == ["payment", "chargeback"]


def test_dispute_about_a_payment_that_was_undone_takes_nothing(alice: User) -> None:
    """Its credit was used elsewhere, and the charge went back whole."""
    give_credit(alice, "5")
    order = place_order(**terms_of(alice, without={Coupon.objects.get(kind="trial").pk}, at=NOW, ecs=1))
    five: dict[str, Any] = {"amount": Money(5, "USD"), "occurred_at": NOW, "now": NOW}
    redeem(source="billing", redemption_id="elsewhere", customer_id=alice.pk, **five)
    assert pay_order(order_id=order.pk, now=NOW).state == "cancelled"
    order = Order.objects.get(pk=order.pk)
    assert order.charge.state == "undone"
    assert disputed(dispute(order, "3.50")) == {}
    assert spend(order) == []


# What it does to rewards (TERMS: Settlement)


def test_chargeback_claws_back_and_a_dispute_won_restores(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    give_card(bob)
    order = buy(bob, without={coupon.pk for coupon in Coupon.objects.filter(customer__customer=bob)}, ecs=3)

    def granted_after(state: str, at: datetime) -> Decimal:
        dispute(order, "25.50", state, at=at)
        settle(as_of=at, now=at)
        return Decimal(Referral.objects.get(friend=bob).payout_granted.amount)

    settle(as_of=day(12, 1), now=day(12, 1))
    assert Referral.objects.get(friend=bob).payout_granted.amount == 20
    assert granted_after("open", day(12, 2)) == 0
    assert granted_after("won", day(12, 20)) == 20
    coupons = Coupon.objects.filter(customer__customer=alice, kind="payout").order_by("pk")
    assert [coupon.remaining.amount for coupon in coupons] == [0, 20]
