"""Any history of orders, part refunds, chargebacks and disputes won, played on the real database: what was paid, what
came back and what stays add up at every step, for each line, each coupon and the spend, and the books are clean."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import pytest
from django.db.models import Sum
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from billing.models import Charge, Dispute, Order, OrderLine, Refund, SandboxCharge, SpendEvent, SpendType
from billing.operations import UnableToRefund, finish_refunds
from billing.queries.refunds import lines_left
from credits.models import Coupon
from referrals.operations import settle
from tests.books import assert_clean_audit
from tests.database import empty_database
from tests.facts import NOW, register
from tests.ordering import buy, give_card, give_credit
from tests.refunding import answers_lost, dispute, refund

pytestmark = pytest.mark.django_db(transaction=True)

CENT = Decimal("0.01")
EXAMPLES = {"default": 20, "long": 500}
PRODUCTS = ("ecs", "domain", "rds", "image_search", "web_hosting")
MOST_ORDERS = 3
PARTS = ("cash", "credit", "trial")
SHARES = some.fractions(Fraction(1, 1000), Fraction(1))


def share_of(amount: Decimal, share: Fraction) -> Decimal:
    """A share of an amount, in whole cents, and at least one."""
    exact = amount * share.numerator / share.denominator
    return max(CENT, exact.quantize(CENT, rounding=ROUND_FLOOR))


class Orders(RuleBasedStateMachine):
    """A customer with a card, a trial and coupons; staff who refund; a bank that takes back and gives back."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.steps = 0

    @initialize(amounts=some.lists(some.integers(1, 4000), max_size=3), servers=some.integers(34, 60))
    def begin(self, amounts: list[int], servers: int) -> None:
        """The trial pays for some of the servers, credit for some, and the card for the rest."""
        self.alice: User = register("alice", referred_by=register("zoe"))
        give_card(self.alice)
        for place, cents in enumerate(amounts):
            give_credit(self.alice, str(cents * CENT), expires_at=NOW + timedelta(days=10 * (place + 1)))
        buy(self.alice, key=self.key(), at=self.now, ecs=servers, domain=1, rds=2)

    def teardown(self) -> None:
        try:
            finish_refunds(now=self.now)
            settle(as_of=self.now, now=self.now)
            assert_clean_audit()
        finally:
            empty_database()

    @precondition(lambda self: Order.objects.count() < MOST_ORDERS)
    @rule(
        quantities=some.dictionaries(some.sampled_from(PRODUCTS), some.integers(1, 45), min_size=1, max_size=3),
        keeps_trial=some.booleans(),
    )
    def order(self, quantities: dict[str, int], keeps_trial: bool) -> None:
        kept = Coupon.objects.filter(kind="trial", customer=self.alice.pk) if keeps_trial else Coupon.objects.none()
        buy(self.alice, key=self.key(), without={one.pk for one in kept}, at=self.now, **quantities)

    @precondition(lambda self: Order.objects.filter(state="paid").exists())
    @rule(pick=some.randoms(use_true_random=False), share=SHARES, is_lost=some.booleans())
    def refund_a_part(self, pick: object, share: Fraction, is_lost: bool) -> None:
        order = self.one_order(pick)
        lines = [
            (left.position, str(share_of(left.most, share))) for left in lines_left(order_id=order.pk) if left.most
        ]
        if lines:
            self.give_back(order, lines[: 1 + len(lines) // 2], is_lost=is_lost)

    @precondition(lambda self: Order.objects.filter(state="paid").exists())
    @rule(pick=some.randoms(use_true_random=False))
    def refund_what_is_left(self, pick: object) -> None:
        order = self.one_order(pick)
        if any(left.most for left in lines_left(order_id=order.pk)):
            self.give_back(order, [])

    @precondition(lambda self: Order.objects.filter(state="paid").exists())
    @rule(pick=some.randoms(use_true_random=False), line=some.integers(0, 2))
    def refund_too_much(self, pick: object, line: int) -> None:
        order = self.one_order(pick)
        lefts = lines_left(order_id=order.pk)
        left = lefts[line % len(lefts)]
        with pytest.raises(UnableToRefund, match="more than is left"):
            refund(order, (left.position, str(left.most + CENT)), key=self.key(), at=self.now)

    @precondition(lambda self: Charge.objects.filter(state="made").exists())
    @rule(
        pick=some.randoms(use_true_random=False), share=SHARES, state=some.sampled_from(["open", "open", "lost", "won"])
    )
    def dispute_a_charge(self, pick: object, share: Fraction, state: str) -> None:
        finish_refunds(now=self.now)
        order = self.one_order(pick, charge__state="made")
        amount = share_of(order.cash.amount, share)
        dispute(order, str(amount), state, dispute_id=self.key(), at=self.now)

    @precondition(lambda self: Dispute.objects.exists())
    @rule(pick=some.randoms(use_true_random=False), state=some.sampled_from(["won", "lost", "open"]))
    def tell_of_a_dispute_again(self, pick: object, state: str) -> None:
        finish_refunds(now=self.now)
        known = self.one(Dispute.objects.order_by("pk"), pick)
        assert isinstance(known, Dispute)
        dispute(known.charge.order, str(known.amount.amount), state, dispute_id=known.dispute_id, at=self.now)

    @rule(days=some.integers(1, 12))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)
        settle(as_of=self.now, now=self.now)

    @invariant()
    def each_line_adds_up(self) -> None:
        """What came back of each part is in proportion, and with what stays it is what was paid."""
        for line in OrderLine.objects.filter(order__state="paid"):
            back = line.refunds.exclude(refund__state="failed")
            amount = sum((one.amount.amount for one in back), Decimal(0))
            stays = []
            for part in PARTS:
                paid = getattr(line, part).amount
                came_back = sum((getattr(one, part).amount for one in back), Decimal(0))
                assert (
                    abs(Fraction(came_back) - Fraction(paid) * Fraction(amount) / Fraction(line.amount.amount)) < CENT
                )
                stays.append(paid - came_back)
            assert min(stays) >= 0
            assert sum(stays) + amount == line.amount.amount

    @invariant()
    def each_coupon_adds_up(self) -> None:
        for coupon in Coupon.objects.all():
            parts = [coupon.remaining, coupon.redeemed, coupon.expired, coupon.revoked]
            assert min(parts).amount >= 0
            assert coupon.amount == sum(parts[1:], parts[0])

    @invariant()
    def spend_is_the_cash_that_was_taken(self) -> None:
        """Payments less refunds and chargebacks: the cash at the gateway less what the bank holds."""
        for order in Order.objects.filter(state="paid", cash__gt=0):
            given_back = SandboxCharge.objects.get(key=order.charge.key).refunded.amount
            on_its_way = self.total(Refund.objects.filter(order=order, state="asked"), "cash")
            held = self.total(Dispute.objects.filter(charge=order.charge).exclude(state="won"), "lines__amount")
            assert self.net(order) == order.cash.amount - given_back + on_its_way - held
            assert given_back + held <= order.cash.amount

    def net(self, order: Order) -> Decimal:
        events = SpendEvent.objects.filter(source="console", event_id__startswith=f"{order.number}-")
        signs = {SpendType.PAYMENT: 1, SpendType.CHARGEBACK_REVERSAL: 1}
        return sum((signs.get(SpendType(event.type), -1) * event.amount.amount for event in events), Decimal(0))

    def give_back(self, order: Order, lines: list[tuple[int, str]], *, is_lost: bool = False) -> None:
        finish_refunds(now=self.now)
        if not is_lost:
            assert refund(order, *lines, key=self.key(), at=self.now).state == "done"
            return
        with answers_lost():
            refund(order, *lines, key=self.key(), at=self.now)

    def key(self) -> str:
        self.steps += 1
        return f"step-{self.steps}"

    def one_order(self, pick: object, **condition: object) -> Order:
        found = self.one(Order.objects.filter(state="paid", **condition).order_by("pk"), pick)
        assert isinstance(found, Order)
        return found

    @staticmethod
    def one(rows: object, pick: object) -> object:
        return pick.choice(list(rows))  # type: ignore[attr-defined,call-overload]

    @staticmethod
    def total(rows: object, column: str) -> Decimal:
        return rows.aggregate(total=Sum(column))["total"] or Decimal(0)  # type: ignore[attr-defined]


def test_any_history_of_orders_adds_up() -> None:
    examples = EXAMPLES[os.environ.get("HYPOTHESIS_PROFILE", "default")]
    run_state_machine_as_test(Orders, settings=settings(max_examples=examples, stateful_step_count=15))
