"""Plain grants, one statement, and the reckoning in Python come to the same rows in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection, transaction
from djmoney.money import Money
from hypothesis import given, settings
from hypothesis import strategies as st

from credits.operations import UnableToRedeem, redeem
from referrals.models import FraudFlag, Referral
from referrals.operations import UnableToDecide, disqualify, open_flag, plain_grants, refuse, settle, settlement, track
from referrals.operations.plain_grants import PlainGrants, grant_plain
from tests.books import assert_clean_audit
from tests.engine import start_terms
from tests.facts import chargeback, dispute_won, fact, record, register
from tests.histories import SECOND_TERMS, SECOND_TERMS_AT
from tests.races.racing import replaced
from tests.sweeps import nothing_is_plain

pytestmark = pytest.mark.django_db

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
START = SECOND_TERMS_AT - 200 * DAY
END = SECOND_TERMS_AT + 400 * DAY

# Everything that a settlement of a chunk writes, without the keys that it draws, each customer's rows in their order.
WRITTEN = {
    "referrals": "SELECT to_jsonb(referral) FROM referrals_referral AS referral ORDER BY id",
    "coupons": """
        SELECT to_jsonb(coupon) - 'id' FROM credits_coupon AS coupon ORDER BY customer_id, id
    """,
    "entries": """
        SELECT coupon.source, to_jsonb(entry) - '{id,coupon_id}'::text[]
        FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = coupon_id
        ORDER BY customer_id, entry.id
    """,
    "rewards": """
        SELECT coupon.source, to_jsonb(reward) - '{id,coupon_id}'::text[]
        FROM referrals_reward AS reward
        JOIN referrals_referral AS referral ON referral.id = referral_id
        LEFT JOIN credits_coupon AS coupon ON coupon.id = coupon_id
        ORDER BY referrer_id, reward.id
    """,
    "clawbacks": """
        SELECT to_jsonb(clawback) - 'id' FROM referrals_clawback AS clawback
        JOIN referrals_referral AS referral ON referral.id = referral_id
        ORDER BY referrer_id, clawback.id
    """,
    "debts": "SELECT to_jsonb(debt) - 'id' FROM credits_debt AS debt ORDER BY customer_id, id",
    "debt entries": """
        SELECT debt.source, to_jsonb(entry) - '{id,debt_id}'::text[]
        FROM credits_debtentry AS entry JOIN credits_debt AS debt ON debt.id = debt_id
        ORDER BY customer_id, entry.id
    """,
}


@dataclass(frozen=True)
class Friend:
    account_id: str
    referrer: str
    registered_at: datetime


# Sorted by code point, the account ids come in another order than by any language, and than they registered in.
FRIENDS = (
    Friend("ödi", "alice", SECOND_TERMS_AT - TICK),
    Friend("Zoe", "alice", SECOND_TERMS_AT - TICK),
    Friend("_eve", "alice", SECOND_TERMS_AT - TICK),
    Friend("Bea", "alice", SECOND_TERMS_AT),
    Friend("10", "alice", SECOND_TERMS_AT),
    Friend("9", "alice", SECOND_TERMS_AT + 20 * DAY),
    Friend("dave", "carol", SECOND_TERMS_AT),
    Friend("erin", "carol", SECOND_TERMS_AT - TICK),
    Friend("fred", "gina", SECOND_TERMS_AT),
)
SOMEBODY = st.sampled_from(FRIENDS)
REFERRERS = ("alice", "carol", "gina")
PAID_AFTER = st.sampled_from([21 * DAY, 21 * DAY, 22 * DAY, 70 * DAY])
AMOUNTS = st.sampled_from(["30.00", "30.00", "20.01", "29.99", "130.05", "5000"])
# About the instants at which payouts and bonuses fall due, by both terms.
INSTANTS = st.sampled_from([SECOND_TERMS_AT + days * DAY for days in (41, 42, 51, 52, 75, 95, 120, 140, 160, 200, 330)])

Act = tuple[Any, ...]
PAY = st.tuples(st.just("pay"), SOMEBODY, AMOUNTS, PAID_AFTER)
PAYMENTS = st.lists(PAY, min_size=3, max_size=9)
ACTS = st.lists(
    st.one_of(
        PAY,
        st.tuples(st.just("settle"), INSTANTS),
        st.tuples(st.just("settle"), INSTANTS),
        st.tuples(st.just("lose"), SOMEBODY),
        st.tuples(st.just("win"), SOMEBODY),
        st.tuples(st.just("hold"), SOMEBODY),
        st.tuples(st.just("refuse"), SOMEBODY),
        st.tuples(st.just("spend"), st.sampled_from(REFERRERS), st.sampled_from(["20", "25", "1"])),
        st.tuples(st.just("disqualify"), st.sampled_from(REFERRERS)),
    ),
    max_size=8,
)


class Programme:
    """Three referrers, their friends, and what is done to them; each settlement is compared."""

    def __init__(self) -> None:
        start_terms(SECOND_TERMS)
        self.users = {name: register(name, at=START) for name in REFERRERS}
        for friend in FRIENDS:
            referrer = self.users[friend.referrer]
            self.users[friend.account_id] = register(friend.account_id, referred_by=referrer, at=friend.registered_at)
        self.paid: dict[Friend, tuple[str, str]] = {}
        self.number = 0

    def live(self, acts: Sequence[Act]) -> None:
        for name, *about in acts:
            getattr(self, name)(*about)

    def pay(self, friend: Friend, amount: str, after: timedelta) -> None:
        event_id = self._fresh_id()
        record(fact(friend.account_id, event_id, amount, friend.registered_at + after), now=END)
        self.paid[friend] = event_id, amount

    def lose(self, friend: Friend) -> None:
        """A chargeback of the last payment; there may be none, or it is lost already."""
        if friend in self.paid:
            event_id, amount = self.paid[friend]
            record(chargeback(friend.account_id, self._fresh_id(), amount, event_id, END), now=END)

    def win(self, friend: Friend) -> None:
        if friend in self.paid:
            event_id, amount = self.paid[friend]
            record(dispute_won(friend.account_id, self._fresh_id(), amount, event_id, END), now=END)

    def hold(self, friend: Friend) -> None:
        open_flag(
            referral_id=referral_of(friend).pk,
            rule="a test",
            severity=FraudFlag.Severity.HOLD,
            evidence={},
            actor=None,
            reason="a test",
            now=END,
        )

    def refuse(self, friend: Friend) -> None:
        with suppress(UnableToDecide):
            refuse(referral_id=referral_of(friend).pk, actor=None, reason="a test", now=END)

    def disqualify(self, referrer: str) -> None:
        with suppress(UnableToDecide):
            disqualify(user_id=self.users[referrer].pk, actor=None, reason="a test", refuse_referrals=[], now=END)

    def spend(self, referrer: str, amount: str) -> None:
        """Buy for credit, if there is so much, at the instant of the last coupon."""
        customer = self.users[referrer].credit_account
        last = customer.coupons.exclude(kind="trial").order_by("issued_at").last()
        with suppress(UnableToRedeem):
            redeem(
                source="test",
                redemption_id=self._fresh_id(),
                customer_id=customer.pk,
                amount=Money(amount, "USD"),
                occurred_at=last.issued_at if last else START,
                now=END,
            )

    def settle(self, at: datetime, chunk_size: int = 1000) -> None:
        track(now=END)
        plain, reckoned = (written_by(at, chunk_size, way) for way in (nullcontext(), nothing_is_plain()))
        assert plain == reckoned, "They differ"
        settle(as_of=at, now=END, chunk_size=chunk_size)

    def _fresh_id(self) -> str:
        self.number += 1
        return f"e{self.number}"


def referral_of(friend: Friend) -> Referral:
    return Referral.objects.get(friend__account_id=friend.account_id)


def written_by(at: datetime, chunk_size: int, way: AbstractContextManager[Any]) -> dict[str, list[Any]]:
    """Settle, and return what was said and what the tables then hold; it is undone."""
    with undone(), way, connection.cursor() as cursor:
        tables: dict[str, list[Any]] = {"said": [settle(as_of=at, now=END, chunk_size=chunk_size)]}
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name, statement in WRITTEN.items():
            cursor.execute(statement)
            tables[name] = cursor.fetchall()
    return tables


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the rewards that are granted as plain."""
    rewards: list[int] = []

    def count(**options: Any) -> PlainGrants:
        plain = grant_plain(**options)
        rewards.append(plain.rewards)
        return plain

    with patch.object(settlement, "grant_plain", count):
        yield rewards


def test_they_come_to_the_same_whatever_has_happened() -> None:
    examples = settings().max_examples // 4
    programme = Programme()

    @settings(max_examples=examples)
    @given(payments=PAYMENTS, acts=ACTS, at=INSTANTS, chunk_size=st.sampled_from([1, 2, 1000]))
    def compare(payments: list[Act], acts: list[Act], at: datetime, chunk_size: int) -> None:
        with undone():
            programme.paid.clear()
            programme.live([*payments, *acts, ("settle", at, chunk_size)])
            assert_clean_audit()

    with counted() as rewards:
        compare()
    assert sum(rewards) > examples


EVE, ODI, ZOE, BEA, TEN, DAVE, ERIN, FRED = (
    next(friend for friend in FRIENDS if friend.account_id == name)
    for name in ("_eve", "ödi", "Zoe", "Bea", "10", "dave", "erin", "fred")
)
SOON, LATER = SECOND_TERMS_AT + 52 * DAY, SECOND_TERMS_AT + 200 * DAY
STORY: tuple[Act, ...] = (
    # Bea's and Zoe's payouts are due at one instant, before Ödi's and Eve's.
    ("pay", BEA, "130.05", 21 * DAY),
    ("pay", ZOE, "130.05", 11 * DAY + TICK),
    ("pay", ODI, "130.05", 22 * DAY),
    ("pay", EVE, "130.05", 22 * DAY),
    # Ten's payout is due after Bea's bonus.
    ("pay", TEN, "30.00", 70 * DAY),
    ("pay", DAVE, "30.00", 21 * DAY),
    ("pay", FRED, "30.00", 21 * DAY),
    ("disqualify", "gina"),
    ("settle", SOON),
    # What Carol has spent becomes a debt; Erin's payout settles a part of it at once, and her bonus another.
    ("spend", "carol", "25"),
    ("lose", DAVE),
    ("pay", ERIN, "40.05", 11 * DAY),
    ("settle", SOON),
    ("settle", LATER),
)
CLAUSES = {
    "payouts before bonuses": ("ORDER BY referrer_id, place, due_at", "ORDER BY referrer_id, due_at"),
    "by due": ("place, due_at, referral.registered_at", "place, referral.registered_at"),
    "by registration": ("referral.registered_at, friend.account_id\n", "friend.account_id\n"),
    "by account id": ("friend.account_id\n", "referral.id\n"),
    "its own terms": ("credit_valid_days *", "180 *"),
    "numbered by kind": ("referral_id = referral.id AND kind = reward.kind", "referral_id = referral.id"),
    "what is due": (" AND due_at <= %(at)s", ""),
    "no disqualification": ("referrer_id AND disqualified_at IS NOT NULL", "referrer_id AND false"),
    "no clawback": ("payout_granted > payout_earned + payout_let_go", "false"),
    "no debt": ("outstanding > 0", "outstanding < 0"),
}


def test_they_come_to_the_same_in_a_story_that_meets_every_clause() -> None:
    Programme().live(STORY)


@pytest.mark.parametrize("clause", CLAUSES)
def test_control_without_a_clause_of_the_statement_they_differ(clause: str) -> None:
    with replaced(plain_grants, "GRANT_PLAIN", *CLAUSES[clause]), pytest.raises(AssertionError, match="They differ"):
        Programme().live(STORY)


def test_what_is_held_or_not_yet_due_is_not_granted_though_it_is_locked() -> None:
    programme = Programme()
    programme.live([("pay", friend, "130.05", 21 * DAY) for friend in (BEA, TEN)])
    programme.hold(BEA)
    track(now=END)
    with transaction.atomic():
        both = [referral_of(friend).pk for friend in (BEA, TEN)]
        plain = grant_plain(customer_ids=[programme.users["alice"].pk], referral_ids=both, as_of=SOON, now=END)
    assert plain == PlainGrants(referrals=[both[1]], rewards=1, amount=Decimal(25))


def test_what_is_not_locked_is_not_granted_though_it_is_due() -> None:
    programme = Programme()
    programme.live([("pay", friend, "130.05", 21 * DAY) for friend in (BEA, TEN)])
    track(now=END)
    with transaction.atomic():
        ten = referral_of(TEN).pk
        plain = grant_plain(customer_ids=[programme.users["alice"].pk], referral_ids=[ten], as_of=SOON, now=END)
    assert plain.referrals == [ten]
    assert referral_of(BEA).payout_granted.amount == 0
