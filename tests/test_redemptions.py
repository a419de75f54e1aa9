"""Credit that is spent and given back (TERMS: Credit)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from djmoney.money import Money

from accounts.facts import Receipt, Tally
from accounts.models import User
from credits.models import Coupon, CouponEntry, CreditAccount, Debt, DebtEntry, Redemption
from credits.operations import (
    NewCoupon,
    NewDebt,
    RedemptionFact,
    UnableToGiveBack,
    UnableToRedeem,
    expire_coupons,
    give_back,
    issue_coupons,
    open_accounts,
    open_debts,
    record_redemptions,
    redeem,
    redemptions,
    revoke_coupons,
)
from tests.facts import register
from tests.races.racing import until_waiting

# Customers have the coupons and debts that these tests give them, without a registration or a grant.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.untrue_rows(
        "customer_has_a_trial",
        "welcome_credit_is_for_friends",
        "first_coupons_are_by_the_terms",
        "coupon_of_a_reward_has_its_reward",
        "clawback_opens_its_debt",
        "revoked_credit_was_to_be_revoked",
    ),
]

NOW = datetime(2026, 6, 1, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture
def alice() -> User:
    return customer("alice")


def customer(name: str) -> User:
    user = User.objects.create_user(f"{name}@example.com", account_id=name, created_at=JANUARY, registered_at=JANUARY)
    open_accounts(customer_ids=[user.pk])
    return user


def coupon(
    of: User,
    amount: str,
    *,
    kind: str = "goodwill",
    friend: User | None = None,
    issued_at: datetime = JANUARY,
    expires_at: datetime = JULY,
) -> Coupon:
    source = f"{kind}:{of.pk}" if kind in ("trial", "welcome") else f"test:{Coupon.objects.count()}"
    friend_id = friend.pk if friend else None
    issue_coupons(
        coupons=[NewCoupon(of.pk, kind, friend_id, source, Decimal(amount), issued_at, expires_at)], now=issued_at
    )
    return Coupon.objects.get(source=source)


def fact(
    redemption_id: str, amount: str, at: datetime | str = MARCH, *, account_id: str = "alice", line: int = 2
) -> RedemptionFact:
    return RedemptionFact(line, redemption_id, account_id, amount, at if isinstance(at, str) else at.isoformat())


def record(*facts: RedemptionFact, source: str = "billing") -> Receipt:
    return record_redemptions(source=source, facts=facts, now=NOW)


def codes(*facts: RedemptionFact) -> list[str]:
    return [refusal.code for refusal in record(*facts).refusals]


def spend(of: User, amount: str, *, redemption_id: str = "order-1", at: datetime = MARCH) -> Redemption:
    return redeem(
        source="console",
        redemption_id=redemption_id,
        customer_id=of.pk,
        amount=Money(amount, "USD"),
        occurred_at=at,
        now=NOW,
    )


def refund(amount: str, *, redemption_id: str = "order-1", return_id: str = "refund-1", at: datetime = MARCH) -> None:
    give_back(
        source="console",
        redemption_id=redemption_id,
        return_id=return_id,
        amount=Money(amount, "USD"),
        occurred_at=at,
        now=NOW,
    )


def parts(of: Coupon) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """What is remaining, redeemed, expired and revoked."""
    of.refresh_from_db()
    return (of.remaining.amount, of.redeemed.amount, of.expired.amount, of.revoked.amount)


def entries(of: Coupon) -> list[tuple[str, Decimal, Decimal]]:
    rows = of.entries.exclude(type="ISSUE").order_by("pk")
    return [(entry.type, entry.amount.amount, entry.balance_after.amount) for entry in rows]


# Spending


def test_the_soonest_expiring_coupon_is_spent_first_then_the_first_issued(alice: User) -> None:
    last = coupon(alice, "10", expires_at=JULY + TICK)
    second = coupon(alice, "10", issued_at=JANUARY + TICK)
    first = coupon(alice, "10")
    assert codes(fact("r1", "25.5")) == []
    assert [parts(one)[0] for one in (first, second, last)] == [Decimal(0), Decimal(0), Decimal("4.50")]
    entry = CouponEntry.objects.get(coupon=last, type="REDEEM")
    assert (entry.amount.amount, entry.balance_after.amount) == (Decimal("-5.50"), Decimal("4.50"))
    assert (entry.reference, entry.occurred_at, entry.recorded_at) == ("r1", MARCH, NOW)
    assert entry.redemption == Redemption.objects.get(source="billing", redemption_id="r1")


def test_credit_is_spent_to_the_last_cent_and_no_further(alice: User) -> None:
    only = coupon(alice, "10")
    assert codes(fact("r1", "10.01"), fact("r2", "10"), fact("r3", "0.01")) == ["insufficient", "insufficient"]
    assert parts(only) == (Decimal(0), Decimal(10), Decimal(0), Decimal(0))
    assert list(Redemption.objects.values_list("redemption_id", flat=True)) == ["r2"]


def test_a_coupon_is_usable_from_its_issue_until_before_its_expiry(alice: User) -> None:
    coupon(alice, "10", issued_at=JANUARY, expires_at=MARCH)
    assert codes(fact("r1", "1", JANUARY - TICK), fact("r2", "1", MARCH)) == ["insufficient"] * 2
    assert codes(fact("r3", "1", JANUARY), fact("r4", "1", MARCH - TICK)) == []


def test_the_trial_and_frozen_credit_buy_nothing_here(alice: User) -> None:
    coupon(alice, "300", kind="trial")
    assert codes(fact("r1", "1")) == ["insufficient"]
    coupon(alice, "10", kind="welcome")
    CreditAccount.objects.filter(pk=alice.pk).update(frozen_at=NOW)
    assert codes(fact("r1", "1")) == ["insufficient"]
    CreditAccount.objects.filter(pk=alice.pk).update(frozen_at=None)
    assert codes(fact("r1", "1")) == []


def test_what_others_have_is_not_spent(alice: User) -> None:
    coupon(customer("bob"), "10")
    assert codes(fact("r1", "1")) == ["insufficient"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redemption_id": ""}, "id"),
        ({"redemption_id": "r" * 101}, "id"),
        ({"redemption_id": "r\0"}, "id"),
        ({"account_id": ""}, "id"),
        ({"redemption_id": "", "amount": "x"}, "id"),
        ({"amount": "0.00"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.234"}, "amount"),
        ({"amount": "x", "occurred_at": "soon"}, "amount"),
        ({"occurred_at": "2026-03-01T00:00:00"}, "time"),
        ({"occurred_at": "soon", "account_id": "nobody"}, "time"),
        ({"account_id": "nobody"}, "account"),
        ({"account_id": "nobody", "occurred_at": "2031-01-01T00:00:00Z"}, "account"),
        ({"occurred_at": (NOW + timedelta(minutes=5) + TICK).isoformat(), "amount": "99"}, "time"),
        ({"amount": "99"}, "insufficient"),
    ],
)
def test_a_fact_that_is_wrong_is_refused_by_its_code(alice: User, changes: dict[str, str], code: str) -> None:
    coupon(alice, "10")
    wrong = fact("r1", "1")._replace(**changes)  # type: ignore[arg-type]
    (refusal,) = record(wrong).refusals
    assert (refusal.line, refusal.code) == (2, code)
    assert refusal.fact == dict(zip(("redemption_id", "account_id", "amount", "occurred_at"), wrong[1:], strict=True))
    assert not Redemption.objects.exists()


def test_five_minutes_ahead_is_not_the_future(alice: User) -> None:
    coupon(alice, "10")
    assert codes(fact("r1", "1", NOW + timedelta(minutes=5))) == []


def test_a_sign_up_that_is_not_confirmed_has_no_account() -> None:
    User.objects.create_user("bob@example.com", account_id="bob", created_at=JANUARY)
    assert codes(fact("r1", "1", account_id="bob")) == ["account"]


def test_the_same_id_counts_once_by_value(alice: User) -> None:
    coupon(alice, "10")
    again = fact("r1", "5.00", "2026-03-01T01:00:00+01:00")
    assert record(fact("r1", "5"), again, fact("r1", "6")).tally == Tally(accepted=1, duplicate=1, refused=1)
    assert record(again).tally == Tally(duplicate=1)
    assert codes(fact("r1", "5", MARCH + TICK), fact("r1", "5", account_id="nobody")) == ["conflict", "conflict"]
    assert record(fact("r1", "5"), source="console").tally == Tally(accepted=1)


def test_a_refused_id_leaves_no_trace(alice: User) -> None:
    coupon(alice, "10")
    assert record(fact("r1", "11"), fact("r1", "9")).tally == Tally(accepted=1, refused=1)


def test_a_chunk_takes_the_same_statements_whatever_its_size(alice: User) -> None:
    coupon(alice, "10000")
    assert statements_of(10) == statements_of(1000)
    assert Redemption.objects.count() == 505


def statements_of(size: int) -> int:
    """How many statements a chunk of so many rows takes, every second one refused."""
    facts = [fact(f"{size}-{number}", "1" if number % 2 else "x") for number in range(size)]
    with CaptureQueriesContext(connection) as statements:
        record(*facts)
    return len(statements)


# At a checkout


def test_the_same_order_redeems_once(alice: User) -> None:
    only = coupon(alice, "10")
    assert spend(alice, "4") == spend(alice, "4")
    assert parts(only)[0] == Decimal(6)
    with pytest.raises(UnableToRedeem, match="conflict"):
        spend(alice, "5")


@pytest.mark.parametrize(("amount", "code"), [("10.01", "insufficient"), ("0", "amount"), ("1.001", "amount")])
def test_an_order_that_cannot_be_paid_is_refused(alice: User, amount: str, code: str) -> None:
    only = coupon(alice, "10")
    with pytest.raises(UnableToRedeem) as refusal:
        spend(alice, amount)
    assert refusal.value.code == code
    assert parts(only)[0] == Decimal(10)


# Giving back


def test_what_comes_back_goes_to_the_last_coupon_used_first(alice: User) -> None:
    first, second = coupon(alice, "10"), coupon(alice, "10", expires_at=JULY + TICK)
    spend(alice, "15")
    refund("7")
    assert (parts(first)[0], parts(second)[0]) == (Decimal(2), Decimal(10))
    refund("8", return_id="refund-2")
    assert (parts(first)[0], parts(second)[0]) == (Decimal(10), Decimal(10))
    assert entries(first) == [
        ("REDEEM", Decimal(-10), Decimal(0)),
        ("RETURN", Decimal(2), Decimal(2)),
        ("RETURN", Decimal(8), Decimal(10)),
    ]


def test_no_more_comes_back_than_was_spent(alice: User) -> None:
    only = coupon(alice, "10")
    spend(alice, "5")
    refund("3")
    with pytest.raises(UnableToGiveBack, match="exceeds"):
        refund("2.01", return_id="refund-2")
    refund("2", return_id="refund-2")
    with pytest.raises(UnableToGiveBack, match="exceeds"):
        refund("0.01", return_id="refund-3")
    assert parts(only) == (Decimal(10), Decimal(0), Decimal(0), Decimal(0))


def test_the_same_return_counts_once(alice: User) -> None:
    only = coupon(alice, "10")
    spend(alice, "5")
    refund("3")
    refund("3")
    assert parts(only)[0] == Decimal(8)
    for changes in ({"amount": "2"}, {"amount": "3", "at": MARCH + TICK}):
        with pytest.raises(UnableToGiveBack, match="conflict"):
            refund(**changes)


@pytest.mark.parametrize(("amount", "code"), [("0", "amount"), ("-1", "amount"), ("0.001", "amount")])
def test_a_return_of_no_amount_is_refused(alice: User, amount: str, code: str) -> None:
    coupon(alice, "10")
    spend(alice, "5")
    with pytest.raises(UnableToGiveBack, match=code):
        refund(amount)


def test_an_unknown_order_gives_nothing_back() -> None:
    with pytest.raises(UnableToGiveBack, match="redemption"):
        refund("1")


@pytest.mark.parametrize(("at", "usable"), [(JULY - TICK, True), (JULY, False)])
def test_what_comes_back_to_an_expired_coupon_expires_at_once(alice: User, at: datetime, usable: bool) -> None:
    only = coupon(alice, "10")
    spend(alice, "10")
    refund("4", at=at)
    assert parts(only) == (
        (Decimal(4), Decimal(6), Decimal(0), Decimal(0)) if usable else (Decimal(0), Decimal(6), Decimal(4), Decimal(0))
    )
    if not usable:
        assert entries(only)[1:] == [("RETURN", Decimal(4), Decimal(4)), ("EXPIRE", Decimal(-4), Decimal(0))]


def test_an_expired_coupon_that_was_not_swept_expires_whole(alice: User) -> None:
    only = coupon(alice, "10")
    spend(alice, "5")
    refund("4", at=JULY)
    assert parts(only) == (Decimal(0), Decimal(1), Decimal(9), Decimal(0))
    assert expire_coupons(customer_ids=[alice.pk], at=JULY, now=NOW) == 0


def test_what_comes_back_to_a_withdrawn_coupon_is_revoked_at_once(alice: User) -> None:
    only = coupon(alice, "10", kind="welcome")
    spend(alice, "6")
    revoke_coupons(coupon_ids=[only.pk], at=MARCH, now=NOW, reference="refused")
    refund("2")
    assert parts(only) == (Decimal(0), Decimal(4), Decimal(0), Decimal(6))
    assert entries(only)[-2:] == [("RETURN", Decimal(2), Decimal(2)), ("REVOKE", Decimal(-2), Decimal(0))]


def test_what_comes_back_settles_the_open_debts_of_that_reward_oldest_first(alice: User) -> None:
    bob, carol = register("bob", referred_by=alice), customer("carol")
    only = coupon(alice, "20", kind="payout", friend=bob)
    spend(alice, "20")
    for friend, kind, source in (
        (carol, "payout", "c"),
        (bob, "bonus", "b"),
        (bob, "payout", "p1"),
        (bob, "payout", "p2"),
    ):
        at = MARCH if source != "p2" else MARCH + TICK
        open_debts(debts=[NewDebt(alice.pk, friend.pk, kind, source, Decimal(5))], at=at, now=NOW)
    refund("3")
    assert debts() == {"c": Decimal(5), "b": Decimal(5), "p1": Decimal(2), "p2": Decimal(5)}
    assert parts(only) == (Decimal(0), Decimal(17), Decimal(0), Decimal(3))
    refund("9", return_id="refund-2", at=MARCH + TICK)
    assert debts() == {"c": Decimal(5), "b": Decimal(5), "p1": Decimal(0), "p2": Decimal(0)}
    assert parts(only) == (Decimal(2), Decimal(8), Decimal(0), Decimal(10))
    assert entries(only)[3:] == [
        ("RETURN", Decimal(9), Decimal(9)),
        ("REVOKE", Decimal(-2), Decimal(7)),
        ("REVOKE", Decimal(-5), Decimal(2)),
    ]
    returned = DebtEntry.objects.filter(type="RETURN").order_by("pk")
    assert [(entry.debt.source, entry.amount.amount, entry.balance_after.amount) for entry in returned] == [
        ("p1", Decimal(-3), Decimal(2)),
        ("p1", Decimal(-2), Decimal(0)),
        ("p2", Decimal(-5), Decimal(0)),
    ]
    assert {entry.reference for entry in returned} == {"refund-1", "refund-2"}


def debts() -> dict[str, Decimal]:
    return {debt.source: debt.outstanding.amount for debt in Debt.objects.all()}


# Races, on connections of their own


@contextmanager
def held(table: str, pk: int) -> Iterator[None]:
    """Hold one row, so that whoever is to write it waits until the end of the block."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR UPDATE", [pk])
        yield


def at_once(only: Coupon, *acts: Callable[[], object]) -> list[str]:
    """Let the acts run, one after the other, up to where they wait for the coupon or each other; then let them go.

    Return how each ended, sorted.
    """
    ends: list[str] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
            ends.append("done")
        except (UnableToRedeem, UnableToGiveBack) as refusal:
            ends.append(refusal.code)
        except IntegrityError:
            ends.append("broken")
        finally:
            connection.close()

    threads = [Thread(target=run, args=[act]) for act in acts]
    with held("credits_coupon", only.pk):
        for number, thread in enumerate(threads, start=1):
            thread.start()
            until_waiting(number)
    for thread in threads:
        thread.join(timeout=20)
    return sorted(ends)


def two_orders(alice: User) -> list[Callable[[], object]]:
    return [lambda: spend(alice, "7", redemption_id="order-1"), lambda: spend(alice, "7", redemption_id="order-2")]


def no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_nothing(*, customer_ids: list[int]) -> list[int]:
        return customer_ids

    monkeypatch.setattr(redemptions, "lock_accounts", lock_nothing)


def test_two_orders_at_once_do_not_spend_the_same_credit(alice: User) -> None:
    only = coupon(alice, "10")
    assert at_once(only, *two_orders(alice)) == ["done", "insufficient"]
    assert parts(only) == (Decimal(3), Decimal(7), Decimal(0), Decimal(0))


def test_control_without_the_lock_two_orders_spend_the_same_credit(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_lock(monkeypatch)
    only = coupon(alice, "10")
    assert at_once(only, *two_orders(alice)) == ["broken", "done"]


def test_the_same_order_at_once_redeems_once(alice: User) -> None:
    only = coupon(alice, "10")
    assert at_once(only, lambda: spend(alice, "4"), lambda: spend(alice, "4")) == ["done", "done"]
    assert parts(only)[0] == Decimal(6)


def test_two_refunds_at_once_do_not_give_back_the_same_credit(alice: User) -> None:
    only = coupon(alice, "10")
    spend(alice, "10")
    both = [lambda: refund("7"), lambda: refund("7", return_id="refund-2")]
    assert at_once(only, *both) == ["done", "exceeds"]
    assert parts(only)[0] == Decimal(7)


def test_one_id_in_two_imports_at_once_counts_once(alice: User) -> None:
    """The customers differ, so no CreditAccount keeps the two apart: the key does."""
    only, others = coupon(alice, "10"), coupon(customer("bob"), "10")
    receipts: dict[str, Receipt] = {}

    def import_for(name: str) -> None:
        receipts[name] = record(fact("r1", "4", account_id=name))

    at_once(only, lambda: import_for("alice"), lambda: import_for("bob"))
    assert receipts["alice"].tally == Tally(accepted=1)
    assert [refusal.code for refusal in receipts["bob"].refusals] == ["conflict"]
    assert parts(others)[0] == Decimal(10)
