"""The plain reading itself: facts that are refused, each with its code."""

from datetime import timedelta

import pytest

from tests.plain_reading import Programme, Terms
from tests.plain_words import (
    BEGIN,
    NOW,
    PRODUCTS,
    TICK,
    account,
    bob,
    codes,
    counts,
    on,
    payment,
    programme_with,
    redemption,
    reversal,
    spend,
    usd,
)

# ---------------------------------------------------------------------------------------------- facts that are refused


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"event_id": ""}, "id"),
        ({"event_id": "e" * 101, "amount": "0"}, "id"),
        ({"event_id": "e\t"}, "id"),
        ({"account_id": "", "type": "gift"}, "id"),
        ({"amount": "0.00", "type": "gift"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.234"}, "amount"),
        ({"amount": "1."}, "amount"),
        ({"amount": ".5"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": " 1"}, "amount"),
        ({"amount": "1\n"}, "amount"),
        ({"amount": "12345678901"}, "amount"),
        ({"amount": "\u0661"}, "amount"),
        ({"type": "Payment", "occurred_at": "soon"}, "type"),
        ({"occurred_at": "2026-01-05T00:00:00", "currency": "XXX"}, "time"),
        ({"occurred_at": "2026-01-05"}, "time"),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "time"),
        ({"occurred_at": "2026-01-05T00:00:00+24:00"}, "time"),
        ({"currency": "usd", "account_id": "nobody"}, "currency"),
        ({"account_id": "nobody", "product": "none"}, "account"),
        ({"product": "none", "occurred_at": "2020-01-05T00:00:00Z"}, "product"),
        ({"occurred_at": (BEGIN - TICK).isoformat()}, "time"),
        ({"occurred_at": (NOW + timedelta(minutes=5) + TICK).isoformat()}, "time"),
    ],
)
def test_payment_is_refused_by_the_first_check_that_fails(changed: dict[str, str], code: str) -> None:
    programme = programme_with()
    assert codes(programme.import_spend([payment("e", "1", on(5, 1)) | changed], NOW)) == [(0, code)]
    spend(programme, payment("e", "1", on(5, 1)))


@pytest.mark.parametrize(
    "changed",
    [
        {"event_id": "e" * 100},
        {"amount": "9999999999.99"},
        {"amount": "00.01"},
        {"occurred_at": BEGIN.isoformat()},
        {"occurred_at": (NOW + timedelta(minutes=5)).isoformat()},
        {"occurred_at": "2026-01-05t00:00:00.5z"},
        {"payment_id": "\t" * 200},
    ],
)
def test_payment_is_accepted_at_the_border(changed: dict[str, str]) -> None:
    programme = programme_with()
    assert counts(programme.import_spend([payment("e", "1", on(5, 1)) | changed], NOW)) == (1, 0, 0, 0)


def test_duplicates_are_compared_by_value() -> None:
    programme = programme_with(payment("e", "5", on(5, 1)))
    same = {"amount": "05.00", "occurred_at": "2026-01-05T01:00:00.000+01:00", "payment_id": "not read"}
    assert counts(programme.import_spend([payment("e", "5", on(5, 1)) | same], NOW)) == (0, 0, 1, 0)
    for changed in ({"amount": "5.01"}, {"product": "none"}, {"currency": "EUR"}, {"account_id": "alice"}):
        assert codes(programme.import_spend([payment("e", "5", on(5, 1)) | changed], NOW)) == [(0, "conflict")]
    spend(programme, reversal("r", "e", "1"))
    assert counts(programme.import_spend([reversal("r", "e", "1", product="other")], NOW)) == (0, 0, 1, 0)
    assert codes(programme.import_spend([reversal("r", "f", "1")], NOW)) == [(0, "conflict")]


@pytest.mark.parametrize("payment_id", ["", "p" * 101, "p\x85"])
def test_reversal_needs_the_id_of_its_payment(payment_id: str) -> None:
    programme = programme_with()
    assert codes(programme.import_spend([reversal("r", payment_id, "0")], NOW)) == [(0, "id")]


def test_reversal_waits_for_its_payment() -> None:
    programme = programme_with()
    early = [reversal("r", "p", "4"), reversal("r", "p", "4.00"), reversal("r", "p", "5")]
    outcome = programme.import_spend(early, NOW)
    assert counts(outcome) == (0, 1, 1, 1)
    outcome = programme.import_spend([payment("p", "10", on(5, 1))], NOW)
    assert counts(outcome) == (1, 0, 0, 0)
    assert bob(programme)["qualifying_spend"] == usd("6")
    assert programme.waiting() == []


def test_waiting_reversal_is_refused_with_the_file_that_brings_the_payment() -> None:
    programme = programme_with()
    programme.import_spend([reversal("r", "p", "11"), reversal("a", "p", "1", account_id="alice")], NOW)
    outcome = programme.import_spend([reversal("s", "p", "12"), payment("p", "10", on(5, 1))], NOW)
    assert counts(outcome) == (1, 0, 0, 3)
    assert codes(outcome) == [(None, "exceeds"), (None, "account"), (0, "exceeds")]
    spend(programme, reversal("r", "p", "10"))


def test_reversal_of_an_unknown_payment_is_judged_at_arrival_as_far_as_it_can_be() -> None:
    programme = programme_with()
    rows = [
        reversal("a", "p", "1", account_id="nobody"),
        reversal("b", "p", "1", currency="EUR"),
        reversal("c", "p", "1", at=NOW + timedelta(hours=1)),
        reversal("d", "p", "1", at=on(1, 1, 2020)),
    ]
    outcome = programme.import_spend(rows, NOW)
    assert codes(outcome) == [(0, "account"), (1, "currency"), (2, "time")]
    assert programme.waiting() == ["d"]


def test_dispute_won_waits_for_its_chargeback_in_whole_passes() -> None:
    programme = programme_with()
    rows = [
        reversal("won", "p", "6", "chargeback_reversal"),
        reversal("cb", "p", "6", "chargeback"),
        reversal("refund", "p", "10"),
    ]
    assert counts(programme.import_spend(rows, NOW)) == (0, 3, 0, 0)
    outcome = programme.import_spend([payment("p", "10", on(5, 1))], NOW)
    assert codes(outcome) == [(None, "exceeds")], "the refund is judged in the first pass, before the dispute is won"
    assert bob(programme)["qualifying_spend"] == usd("10")
    more = programme.import_spend([reversal("won2", "p", "0.01", "chargeback_reversal")], NOW)
    assert counts(more) == (0, 1, 0, 0)
    assert counts(programme.import_spend([reversal("cb2", "p", "3", "chargeback")], NOW)) == (1, 0, 0, 0)
    assert bob(programme)["qualifying_spend"] == usd("7.01")


def test_row_that_waited_within_its_file_counts_once_as_accepted() -> None:
    programme = programme_with()
    outcome = programme.import_spend([reversal("r", "p", "1"), payment("p", "10", on(5, 1))], NOW)
    assert counts(outcome) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"account_id": "", "account_type": "firm"}, "id"),
        ({"account_type": "firm", "registered_at": "then"}, "type"),
        ({"registered_at": "then", "email": "none"}, "time"),
        ({"email": "none", "account_id": "bob"}, "email"),
        ({"account_id": "bob"}, "conflict"),
        ({"registered_at": "1969-12-31T23:59:59Z", "email": "BOB@example.com"}, "time"),
        ({"registered_at": (NOW + timedelta(minutes=5) + TICK).isoformat()}, "time"),
        ({"email": "BOB@example.com", "referred_by": "nobody"}, "email"),
        ({"referred_by": "nobody"}, "referrer"),
        ({"referred_by": "cem"}, "referrer"),
        ({"registered_at": (BEGIN - TICK).isoformat()}, "referrer"),
    ],
)
def test_account_is_refused_by_the_first_check_that_fails(changed: dict[str, str], code: str) -> None:
    programme = programme_with()
    assert codes(programme.import_accounts([account("cem", "alice") | changed], NOW)) == [(0, code)]
    assert counts(programme.import_accounts([account("cem", "alice")], NOW)) == (1, 0, 0, 0)


def test_account_sent_twice() -> None:
    programme = programme_with()
    again = account("bob", "alice", email="Bob@Example.com", registered_at="2026-01-01T02:00:00+02:00")
    assert counts(programme.import_accounts([again], NOW)) == (0, 0, 1, 0)
    assert codes(programme.import_accounts([account("bob")], NOW)) == [(0, "conflict")]
    assert len(programme.coupons()) == 3


def test_referrer_stands_anywhere_in_the_file_if_it_is_accepted() -> None:
    programme = Programme([Terms()], PRODUCTS)
    rows = [
        account("dan", "cem"),
        account("cem", "nobody"),
        account("bob", "alice"),
        account("alice"),
        account("fay", "eve"),
        account("eve", "fay"),
    ]
    outcome = programme.import_accounts(rows, NOW)
    assert codes(outcome) == [(0, "referrer"), (1, "referrer")]
    assert [row["friend_id"] for row in programme.referrals()] == ["bob", "fay", "eve"]


def test_address_of_a_refused_account_is_free_for_the_next_row() -> None:
    programme = Programme([Terms()], PRODUCTS)
    rows = [account("a", "nobody", email="x@example.com"), account("b", email="x@example.com"), account("c", "b")]
    assert codes(programme.import_accounts(rows, NOW)) == [(0, "referrer")]


def test_row_that_takes_the_address_of_its_own_referrer_comes_to_rest() -> None:
    programme = Programme([Terms()], PRODUCTS)
    rows = [account("a", "b", email="x@example.com"), account("b", email="x@example.com")]
    assert codes(programme.import_accounts(rows, NOW)) == [(0, "referrer")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"redemption_id": ""}, "id"),
        ({"amount": "0"}, "amount"),
        ({"occurred_at": "then"}, "time"),
        ({"redemption_id": "known", "account_id": "nobody"}, "conflict"),
        ({"account_id": "nobody", "occurred_at": "2030-01-01T00:00:00Z"}, "account"),
        ({"occurred_at": "2030-01-01T00:00:00Z"}, "time"),
        ({"amount": "4.01"}, "insufficient"),
    ],
)
def test_redemption_is_refused_by_the_first_check_that_fails(changed: dict[str, str], code: str) -> None:
    programme = programme_with()
    programme.import_redemptions([redemption("known", "1", BEGIN, "bob")], NOW)
    outcome = programme.import_redemptions([redemption("r", "4", BEGIN, "bob") | changed], NOW)
    assert codes(outcome) == [(0, code)]
    rows = [redemption("r", "4", BEGIN, "bob"), redemption("known", "1.00", BEGIN, "bob")]
    assert counts(programme.import_redemptions(rows, NOW)) == (1, 0, 1, 0)
