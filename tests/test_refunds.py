"""What staff give back of an order: cash, credit and trial in the proportion in which each line was paid."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import User
from billing.models import Order, Refund, SandboxCharge, SandboxRefund, SpendEvent
from billing.operations import UnableToRefund, finish_refunds, refund_order
from credits.models import Coupon, CouponEntry, Debt, RedemptionReturn
from referrals.models import Referral
from referrals.operations import close_account, settle
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.ordering import buy, give_card, give_credit
from tests.refunding import answers_lost, given_back_by_gateway, left, nobody_there, parts, refund, spend, staff

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def alice() -> User:
    user = register("alice")
    give_card(user)
    return user


@pytest.fixture
def order(alice: User) -> Order:
    """Two lines: $340.00 of servers, of which the trial pays $300 and a coupon $20; and a domain for $11.99 in cash."""
    give_credit(alice, "20")
    placed = buy(alice, ecs=40, domain=1)
    assert [parts(line) for line in placed.lines.all()] == [(20, 20, 300), (Decimal("11.99"), 0, 0)]
    return placed


def refused(order: Order, *lines: tuple[int, str], key: str = "refund") -> str:
    before = Refund.objects.count()
    with pytest.raises(UnableToRefund) as refusal:
        refund(order, *lines, key=key)
    assert Refund.objects.count() == before
    return refusal.value.code


def coupon_of(user: User, kind: str) -> Coupon:
    return Coupon.objects.get(customer__customer=user, kind=kind)


def entries(coupon: Coupon) -> list[tuple[str, Decimal]]:
    return [(entry.type, entry.amount.amount) for entry in coupon.entries.order_by("pk")]


def test_whole_order_comes_back_as_it_was_paid(alice: User, order: Order) -> None:
    done = refund(order)
    assert (done.state, done.amount.amount, parts(done)) == ("done", Decimal("351.99"), (Decimal("31.99"), 20, 300))
    assert given_back_by_gateway(order) == Decimal("31.99")
    assert coupon_of(alice, "goodwill").remaining.amount == 20
    assert coupon_of(alice, "trial").remaining.amount == 300
    assert spend(order)[2:] == [("refund", "1", 20), ("refund", "2", Decimal("11.99"))]
    assert left(order) == {1: 0, 2: 0}


def test_part_of_a_line_comes_back_in_its_proportion(alice: User, order: Order) -> None:
    assert parts(refund(order, (1, "17"))) == (1, 1, 15)
    assert given_back_by_gateway(order) == 1
    assert coupon_of(alice, "goodwill").remaining.amount == 1
    assert coupon_of(alice, "trial").remaining.amount == 15
    assert spend(order)[2:] == [("refund", "1", 1)]
    assert left(order) == {1: 323, 2: Decimal("11.99")}


def test_line_that_came_back_in_parts_has_come_back_as_it_was_paid(order: Order) -> None:
    amounts = ["0.01", "113.33", "113.33", "113.33"]
    done = [refund(order, (1, amount), key=f"part-{place}") for place, amount in enumerate(amounts)]
    assert [sum(column) for column in zip(*map(parts, done), strict=True)] == [20, 20, 300]


def test_whole_after_a_part_is_what_is_left(order: Order) -> None:
    refund(order, (1, "17"))
    assert parts(refund(order, key="the rest")) == (Decimal("30.99"), 19, 285)


def test_refund_says_who_gave_back_why_and_when(order: Order) -> None:
    done = refund(order, (2, "1"))
    assert (done.actor, done.reason, done.asked_at, done.ended_at) == (staff(), "A wish.", NOW, NOW)
    assert done.gateway_id.startswith("sandbox-refund-")


def test_line_without_cash_asks_no_gateway_and_is_no_spend(alice: User) -> None:
    order = buy(alice, ecs=2)
    assert parts(refund(order)) == (0, 0, 17)
    assert not SandboxRefund.objects.exists()
    assert not SpendEvent.objects.exists()
    assert coupon_of(alice, "trial").remaining.amount == 300


# What is refused


@pytest.mark.parametrize(("amount", "left_after"), [("11.99", "0"), ("11.98", "0.01")])
def test_a_line_gives_back_what_is_left_of_it(order: Order, amount: str, left_after: str) -> None:
    refund(order, (2, amount))
    assert left(order)[2] == Decimal(left_after)


def test_more_than_a_line_is_refused(order: Order) -> None:
    assert refused(order, (2, "12.00")) == "exceeds"


def test_more_than_is_left_of_a_line_is_refused(order: Order) -> None:
    refund(order, (2, "11.98"))
    assert refused(order, (2, "0.02"), key="again") == "exceeds"


def test_order_that_came_back_whole_has_nothing_left(order: Order) -> None:
    refund(order)
    assert refused(order, key="again") == "exceeds"


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused(order: Order, amount: str) -> None:
    assert refused(order, (2, amount)) == "amount"


def test_no_line_at_all_is_refused(order: Order) -> None:
    with pytest.raises(UnableToRefund) as refusal:
        refund_order(order_id=order.pk, key="k", lines=[], actor=staff(), reason="", now=NOW)
    assert refusal.value.code == "amount"


@pytest.mark.parametrize("lines", [[(3, "1")], [(0, "1")], [(1, "1"), (1, "1")]], ids=["third", "zeroth", "twice"])
def test_lines_that_the_order_does_not_have_are_refused(order: Order, lines: list[tuple[int, str]]) -> None:
    assert refused(order, *lines) == "line"


def test_unknown_order_is_refused() -> None:
    with pytest.raises(UnableToRefund) as refusal:
        refund_order(order_id=0, key="k", lines=None, actor=staff(), reason="", now=NOW)
    assert refusal.value.code == "unknown"


def test_order_that_was_not_paid_is_refused() -> None:
    bob = register("bob")
    give_card(bob, "not-charged")
    order = buy(bob, domain=1)
    assert order.state == Order.State.CANCELLED
    assert refused(order) == "state"


# The same button


def test_same_key_again_is_the_same_refund(order: Order) -> None:
    assert refund(order, (1, "17")) == refund(order, (1, "17.00"))
    assert RedemptionReturn.objects.count() == 2
    assert given_back_by_gateway(order) == 1


def test_whole_pressed_twice_is_one_refund(order: Order) -> None:
    assert refund(order) == refund(order)


def test_key_of_another_content_or_order_is_refused(alice: User, order: Order) -> None:
    refund(order, (1, "17"))
    assert refused(order, (1, "18")) == "conflict"
    assert refused(order, (1, "17"), (2, "1")) == "conflict"
    another = buy(alice, key="another", domain=1)
    assert refused(another, (1, "1")) == "conflict"


# The gateway


def test_gateway_that_refuses_leaves_everything_as_it_was(alice: User, order: Order) -> None:
    SandboxCharge.objects.update(refunded=order.cash)  # as if it had been given back at the gateway itself
    failed = refund(order)
    assert (failed.state, failed.ended_at) == ("failed", NOW)
    assert coupon_of(alice, "goodwill").remaining.amount == 0
    assert len(spend(order)) == 2
    assert left(order) == {1: 340, 2: Decimal("11.99")}


def test_refund_that_failed_counts_for_nothing(order: Order) -> None:
    SandboxCharge.objects.update(refunded=order.cash)
    assert refund(order, (1, "17")).state == "failed"
    SandboxCharge.objects.update(refunded=0)
    assert parts(refund(order, key="again")) == (Decimal("31.99"), 20, 300)


def test_lost_answer_is_asked_for_again_and_the_cash_comes_back_once(alice: User, order: Order) -> None:
    with answers_lost():
        asked = refund(order, (1, "17"))
    assert (asked.state, asked.ended_at) == ("asked", None)
    assert coupon_of(alice, "goodwill").remaining.amount == 0
    assert finish_refunds(now=NOW) == 1
    asked.refresh_from_db()
    assert asked.state == "done"
    assert given_back_by_gateway(order) == 1
    assert coupon_of(alice, "goodwill").remaining.amount == 1
    assert finish_refunds(now=NOW) == 0


def test_gateway_that_stays_away_leaves_the_refund_asked_for(order: Order) -> None:
    with nobody_there():
        asked = refund(order, (1, "17"))
        assert finish_refunds(now=NOW) == 0
        assert refund(order, (1, "17")).pk == asked.pk
    assert given_back_by_gateway(order) == 0
    assert refund(order, (1, "17")).state == "done"


def test_refund_that_cannot_be_finished_holds_up_no_other(alice: User, order: Order) -> None:
    """As after a clock that was set back: what the first would take back has not been paid yet."""
    later = buy(alice, key="later", at=NOW + HOUR, dns=1)
    with nobody_there():
        first, second = refund(later, key="first", at=NOW + HOUR), refund(order, key="second", at=NOW + HOUR)
    assert finish_refunds(now=NOW) == 1
    for one in (first, second):
        one.refresh_from_db()
    assert (first.state, second.state) == ("asked", "done")
    assert finish_refunds(now=NOW + HOUR) == 1


def test_refund_on_its_way_counts_and_lets_no_other_begin(order: Order) -> None:
    with nobody_there():
        refund(order, (1, "17"))
        assert left(order)[1] == 323
        assert refused(order, (2, "1"), key="another") == "pending"
    assert refund(order, (2, "1"), key="another").state == "done"
    assert set(order.refunds.values_list("state", flat=True)) == {"done"}


# The coupons (TERMS: Credit)


def test_credit_goes_back_in_reverse_order_of_use(alice: User) -> None:
    sooner = give_credit(alice, "10", expires_at=day(11, 15))
    later = give_credit(alice, "10")
    trial = coupon_of(alice, "trial")
    order = buy(alice, without={trial.pk}, ecs=4)
    assert [parts(line) for line in order.lines.all()] == [(14, 20, 0)]
    assert parts(refund(order, (1, "20.40")))[1] == 12
    sooner.refresh_from_db()
    later.refresh_from_db()
    assert (sooner.remaining.amount, later.remaining.amount) == (2, 10)


def test_credit_of_a_coupon_that_has_expired_expires_at_once(alice: User) -> None:
    give_credit(alice, "10", expires_at=day(11, 15))
    order = buy(alice, without={coupon_of(alice, "trial").pk}, ecs=2)
    refund(order, at=day(11, 15))
    assert entries(coupon_of(alice, "goodwill"))[1:] == [("REDEEM", -10), ("RETURN", 10), ("EXPIRE", -10)]


def test_credit_of_a_coupon_that_has_a_moment_left_stays(alice: User) -> None:
    give_credit(alice, "10", expires_at=day(11, 15))
    order = buy(alice, without={coupon_of(alice, "trial").pk}, ecs=2)
    refund(order, at=day(11, 15) - timedelta(microseconds=1))
    assert entries(coupon_of(alice, "goodwill"))[1:] == [("REDEEM", -10), ("RETURN", 10)]


def test_credit_of_a_closed_account_is_revoked_at_once(alice: User, order: Order) -> None:
    close_account(user_id=alice.pk, now=NOW)
    assert refund(order).state == "done"
    assert coupon_of(alice, "goodwill").revoked.amount == 20
    assert coupon_of(alice, "trial").revoked.amount == 300


def test_credit_that_comes_back_settles_the_debt_of_its_reward_first(alice: User) -> None:
    """TERMS, example 7: alice spent the payout for bob, whose purchase was charged back."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "p", "20", day(9, 1)))
    settle(as_of=day(10, 5), now=NOW)
    order = buy(alice, without={coupon_of(alice, "trial").pk}, ecs=4)
    assert [parts(line) for line in order.lines.all()] == [(14, 20, 0)]
    record(chargeback(bob, "c", "20", "p"))
    settle(as_of=NOW, now=NOW)
    assert Debt.objects.get().outstanding.amount == 20
    refund(order, (1, "17"))
    assert Debt.objects.get().outstanding.amount == 10
    assert entries(coupon_of(alice, "payout"))[1:] == [("REDEEM", -20), ("RETURN", 10), ("REVOKE", -10)]


# What it does to rewards (TERMS: Settlement)


def test_refund_claws_the_referrers_payout_back(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    give_card(bob)
    order = buy(bob, without={coupon.pk for coupon in Coupon.objects.filter(customer__customer=bob)}, ecs=3)
    assert order.cash.amount == Decimal("25.50")
    settle(as_of=day(12, 1), now=day(12, 1))
    assert Referral.objects.get(friend=bob).payout_granted.amount == 20
    refund(order, (1, "5.50"), at=day(12, 2))
    settle(as_of=day(12, 2), now=day(12, 2))
    assert Referral.objects.get(friend=bob).payout_granted.amount == 20
    refund(order, (1, "0.01"), key="a cent", at=day(12, 3))
    settle(as_of=day(12, 3), now=day(12, 3))
    assert Referral.objects.get(friend=bob).payout_granted.amount == 0
    assert entries(coupon_of(alice, "payout")) == [("ISSUE", 20), ("REVOKE", -20)]


def test_refund_of_what_credit_paid_takes_nothing_from_the_referrer(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    give_card(bob)
    order = buy(bob, ecs=3)
    refund(order)
    assert not CouponEntry.objects.filter(type="REVOKE").exists()
    assert Referral.objects.get(friend=bob).qualifying_spend.amount == 0
