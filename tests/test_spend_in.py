"""Spend in, through the one operation of every door (TERMS: What counts as spend; Facts that are refused)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.facts import Tally
from accounts.models import User
from billing.models import Product, SpendBatch, SpendEvent, WaitingReversal
from tests.facts import JANUARY, NOW, chargeback, codes, day, dispute_won, fact, record, refund, register

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bob() -> User:
    return register("bob")


def test_a_payment_is_recorded_with_what_it_counts_for(bob: User) -> None:
    receipt = record(fact(bob, "p1", "12.5", day(1, 5)), fact(bob, "p2", "7", day(1, 5), product="cdn"))
    assert receipt.tally == Tally(accepted=2)
    first, second = SpendEvent.objects.order_by("event_id")
    assert (first.amount.amount, first.qualifies, first.occurred_at) == (Decimal("12.50"), True, day(1, 5))
    assert not second.qualifies


def test_what_a_payment_counts_for_stays_when_the_catalogue_changes(bob: User) -> None:
    record(fact(bob, "p1", "5"))
    Product.objects.filter(code="ecs").update(earns_credit=False)
    record(refund(bob, "r1", "1", "p1"), fact(bob, "p2", "5"))
    assert dict(SpendEvent.objects.values_list("event_id", "qualifies")) == {"p1": True, "r1": True, "p2": False}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"event_id": ""}, "id"),
        ({"event_id": "é" * 101}, "id"),
        ({"event_id": "a\x00b"}, "id"),
        ({"event_id": "a\x85b"}, "id"),
        ({"event_id": "a\nb"}, "id"),
        ({"account_id": ""}, "id"),
        ({"type": "refund", "payment_id": ""}, "id"),
        ({"amount": "0"}, "amount"),
        ({"amount": "0.00"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "+1"}, "amount"),
        ({"amount": " 1"}, "amount"),
        ({"amount": "1."}, "amount"),
        ({"amount": ".5"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "12345678901"}, "amount"),
        ({"amount": "١"}, "amount"),
        ({"amount": "1\n"}, "amount"),
        ({"type": "Payment"}, "type"),
        ({"type": ""}, "type"),
        ({"occurred_at": "2026-01-05"}, "time"),
        ({"occurred_at": "2026-01-05T00:00:00"}, "time"),
        ({"occurred_at": "2026-01-05 00:00:00Z"}, "time"),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "time"),
        ({"occurred_at": "2026-01-05T24:00:00Z"}, "time"),
        ({"occurred_at": "2026-01-05T00:00:00+24:00"}, "time"),
        ({"occurred_at": "2026-01-05T00:00:00Z\n"}, "time"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "JPY", "amount": "5.50"}, "amount"),
        ({"account_id": "nobody"}, "account"),
        ({"product": "ecs "}, "product"),
        ({"product": ""}, "product"),
        ({"occurred_at": "2025-12-31T23:59:59.999999Z"}, "time"),
        ({"occurred_at": (NOW + timedelta(minutes=5, microseconds=1)).isoformat()}, "time"),
    ],
)
def test_a_fact_that_is_refused_has_its_code_and_leaves_no_trace(bob: User, changes: dict[str, Any], code: str) -> None:
    good = fact(bob, "p1", "5", day(1, 5))
    receipt = record(good._replace(**changes))
    assert codes(receipt) == [code]
    assert receipt.tally == Tally(refused=1)
    assert not SpendEvent.objects.exists()
    assert record(good).tally == Tally(accepted=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": "é" * 100},
        {"amount": "9999999999.99"},
        {"amount": "0.01"},
        {"occurred_at": "2026-01-01T00:00:00Z"},
        {"occurred_at": "2026-01-05t10:00:00.123456789z"},
        {"occurred_at": (NOW + timedelta(minutes=5)).isoformat()},
        {"payment_id": "a payment's payment_id is not read \x07"},
    ],
)
def test_just_inside_the_border_goes_in(bob: User, changes: dict[str, Any]) -> None:
    assert record(fact(bob, "p1", "5", day(1, 5))._replace(**changes)).tally == Tally(accepted=1)


def test_the_first_check_that_fails_names_the_code(bob: User) -> None:
    worst = fact("nobody", "", "0", "never", product="none", currency="XXX", kind="gift")
    assert codes(record(worst)) == ["id"]
    assert codes(record(worst._replace(event_id="p"))) == ["amount"]
    assert codes(record(worst._replace(event_id="p", amount="1"))) == ["type"]
    assert codes(record(worst._replace(event_id="p", amount="1", type="payment"))) == ["time"]
    fine = worst._replace(event_id="p", amount="1", type="payment", occurred_at="2020-01-01T00:00:00Z")
    assert codes(record(fine)) == ["currency"]
    assert codes(record(fine._replace(currency="USD"))) == ["account"]
    assert codes(record(fine._replace(currency="USD", account_id="bob"))) == ["product"]
    assert codes(record(fine._replace(currency="USD", account_id="bob", product="ecs"))) == ["time"]


def test_an_unconfirmed_sign_up_is_an_unknown_account() -> None:
    User.objects.create(account_id="carol", email="carol@example.com", created_at=JANUARY)
    assert codes(record(fact("carol", "p1", "5"))) == ["account"]


def test_the_same_fact_again_is_a_duplicate_by_value(bob: User) -> None:
    record(fact(bob, "p1", "5", "2026-01-05T09:00:00Z"))
    again = record(fact(bob, "p1", "5.00", "2026-01-05T10:00:00+01:00"))
    assert again.tally == Tally(duplicate=1)
    assert SpendEvent.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "5.01"},
        {"occurred_at": "2026-01-05T00:00:00.000001Z"},
        {"product": "rds"},
        {"product": "unknown"},
        {"account_id": "nobody"},
        {"currency": "EUR"},
        {"type": "refund", "payment_id": "p1"},
    ],
)
def test_the_same_id_with_other_content_is_a_conflict(bob: User, changes: dict[str, Any]) -> None:
    good = fact(bob, "p1", "5", day(1, 5))
    record(good)
    assert codes(record(good._replace(**changes))) == ["conflict"]


def test_a_batch_is_judged_in_order_as_if_each_fact_came_alone(bob: User) -> None:
    receipt = record(
        fact(bob, "p1", "5", product="none"),
        fact(bob, "p1", "5"),
        fact(bob, "p1", "5.0"),
        fact(bob, "p1", "6"),
        fact(bob, "p1", "0"),
    )
    assert receipt.tally == Tally(accepted=1, duplicate=1, refused=3)
    assert codes(receipt) == ["product", "conflict", "amount"]


def test_one_source_is_one_key_space(bob: User) -> None:
    record(fact(bob, "p1", "5"), source="billing")
    assert record(fact(bob, "p1", "6"), source="console").tally == Tally(accepted=1)


def test_example_9_refunds_are_judged_against_the_net(bob: User) -> None:
    record(fact(bob, "p", "10"))
    receipt = record(refund(bob, "r1", "5", "p"), refund(bob, "r2", "9", "p"), refund(bob, "r3", "5", "p"))
    assert receipt.tally == Tally(accepted=2, refused=1)
    assert [(refusal.code, refusal.fact["event_id"]) for refusal in receipt.refusals] == [("exceeds", "r2")]


def test_a_chargeback_and_a_refund_share_one_net(bob: User) -> None:
    record(fact(bob, "p", "10"), refund(bob, "r", "6", "p"))
    assert codes(record(chargeback(bob, "c1", "4.01", "p"))) == ["exceeds"]
    assert record(chargeback(bob, "c2", "4", "p")).tally == Tally(accepted=1)


def test_a_reversal_of_anothers_payment_or_in_another_currency_is_refused(bob: User) -> None:
    register("carol")
    record(fact(bob, "p", "10"))
    receipt = record(
        refund("carol", "r1", "1", "p"),
        refund("nobody", "r2", "1", "p"),
        refund(bob, "r3", "1", "p")._replace(currency="EUR"),
    )
    assert codes(receipt) == ["account", "account", "currency"]


def test_a_reversal_that_comes_first_waits_for_its_payment(bob: User) -> None:
    assert record(refund(bob, "r", "3", "p")).tally == Tally(waiting=1)
    assert record(refund(bob, "r", "3", "p")).tally == Tally(duplicate=1)
    assert codes(record(refund(bob, "r", "4", "p"))) == ["conflict"]
    assert record(fact(bob, "p", "10")).tally == Tally(accepted=1)
    assert not WaitingReversal.objects.exists()
    assert set(SpendEvent.objects.values_list("event_id", flat=True)) == {"p", "r"}


def test_in_one_batch_a_reversal_may_stand_before_its_payment(bob: User) -> None:
    assert record(refund(bob, "r", "3", "p"), fact(bob, "p", "10")).tally == Tally(accepted=2)


def test_a_waiting_reversal_that_turns_out_wrong_is_reported_with_the_batch_of_its_payment(bob: User) -> None:
    record(refund(bob, "r1", "11", "p"), refund(bob, "r2", "4", "p"))
    receipt = record(fact(bob, "p", "10"))
    assert receipt.tally == Tally(accepted=1, refused=1)
    (refusal,) = receipt.refusals
    assert (refusal.line, refusal.code, refusal.fact["event_id"]) == (None, "exceeds", "r1")
    assert record(refund(bob, "r1", "6", "p")).tally == Tally(accepted=1)


def test_waiting_reversals_are_tried_in_order_of_arrival(bob: User) -> None:
    record(refund(bob, "z", "7", "p"))
    record(refund(bob, "a", "7", "p"))
    (refusal,) = record(fact(bob, "p", "10")).refusals
    assert refusal.fact["event_id"] == "a"


def test_a_dispute_won_waits_for_its_chargeback(bob: User) -> None:
    record(fact(bob, "p", "10"))
    assert record(dispute_won(bob, "w", "10", "p")).tally == Tally(waiting=1)
    assert record(chargeback(bob, "c", "9.99", "p")).tally == Tally(accepted=1)
    assert WaitingReversal.objects.count() == 1
    assert record(chargeback(bob, "c2", "0.01", "p")).tally == Tally(accepted=1)
    assert not WaitingReversal.objects.exists()


def test_a_dispute_won_makes_room_for_another_refund(bob: User) -> None:
    record(fact(bob, "p", "10"), chargeback(bob, "c", "10", "p"))
    assert codes(record(refund(bob, "r", "1", "p"))) == ["exceeds"]
    record(dispute_won(bob, "w", "10", "p"))
    assert record(refund(bob, "r", "1", "p")).tally == Tally(accepted=1)


def test_an_id_that_a_reversal_has_is_taken_for_payments_too(bob: User) -> None:
    record(refund(bob, "x", "3", "p"))
    assert codes(record(fact(bob, "x", "3"))) == ["conflict"]
    record(fact(bob, "p", "2"))
    assert record(fact(bob, "x", "3")).tally == Tally(accepted=1)


def test_a_batch_that_records_nothing_leaves_nothing_to_track(bob: User) -> None:
    record(fact(bob, "p1", "0"))
    assert SpendBatch.objects.get().applied_at is not None
    record(fact(bob, "p1", "1"))
    assert SpendBatch.objects.latest("pk").applied_at is None


def test_an_empty_batch_is_a_batch_of_nothing() -> None:
    assert record().tally == Tally()


def test_a_batch_costs_the_same_statements_however_large(bob: User) -> None:
    def statements(size: int, prefix: str) -> int:
        facts = [fact(bob, f"{prefix}{place}", "1") for place in range(size)]
        facts += [refund(bob, f"{prefix}r{place}", "1", f"{prefix}{place}") for place in range(size)]
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert record(*facts).tally == Tally(accepted=2 * size)
        return len(captured)

    assert statements(1, "few") == statements(500, "many")
