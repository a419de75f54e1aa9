"""Orders: what a customer has paid, what was reversed of it, and what of it counts."""

from __future__ import annotations

import csv
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from billing.models import Product, SpendBatch, SpendEvent
from billing.queries.orders import payments
from tests.facts import JANUARY, NOW, chargeback, day, dispute_won, fact, record, refund, register
from tests.pages import read

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = "/console/orders/"
FILE = f"{ORDERS}payments.csv"


@pytest.fixture
def alice() -> User:
    return register("alice")


def pay_in_euros(customer: User) -> SpendEvent:
    return SpendEvent.objects.create(
        batch=SpendBatch.objects.create(source="billing", received_at=NOW, applied_at=NOW, accepted=1),
        source="billing",
        event_id="in-euros",
        customer=customer,
        type="payment",
        product=Product.objects.get(code="ecs"),
        original_currency="EUR",
        original_amount=Decimal("10.01"),
        rate=Decimal("1.1"),
        rate_day=day(1, 5).date(),
        amount=Decimal("11.01"),
        qualifies=True,
        occurred_at=day(1, 5),
    )


def test_nothing_paid_yet_says_what_to_do_next(alice: User) -> None:
    page = read(alice, ORDERS)
    assert "Nothing ordered or paid yet" in page
    assert "Go to the catalogue" in page
    assert "as CSV" not in page


def test_a_payment_stands_with_its_product_date_amount_and_whether_it_counts(alice: User) -> None:
    record(fact(alice, "one", "12", day(1, 5)), fact(alice, "two", "1234.5", day(1, 6), product="cdn"))
    page = read(alice, ORDERS)
    newer = "Content Delivery Network two 6 Jan 2026, 00:00 $1,234.50 $0.00 Does not count"
    older = "Elastic Compute Service one 5 Jan 2026, 00:00 $12.00 $0.00 Counts"
    assert f"{newer} {older}" in page


def test_whether_a_payment_counts_stays_as_it_was_recorded(alice: User) -> None:
    record(fact(alice, "one", "12", day(1, 5)))
    Product.objects.filter(code="ecs").update(earns_credit=False)
    assert "$12.00 $0.00 Counts" in read(alice, ORDERS)


def test_what_is_reversed_is_refunds_and_chargebacks_less_disputes_won(alice: User) -> None:
    record(fact(alice, "one", "12", day(1, 5)))
    record(refund(alice, "back", "2", "one", day(1, 6)), chargeback(alice, "bank", "3", "one", day(1, 7)))
    assert "$12.00 $5.00 Counts" in read(alice, ORDERS)
    record(dispute_won(alice, "won", "1", "one", day(1, 8)))
    assert "$12.00 $4.00 Counts" in read(alice, ORDERS)
    assert "$12.00 $2.00 Counts" in read(alice, ORDERS, at=day(1, 7) - timedelta(seconds=1))


@pytest.mark.untrue_rows("batch_holds_what_it_accepted")
def test_another_currency_stands_beside_the_dollars(alice: User) -> None:
    paid = pay_in_euros(alice)
    assert "$11.01 €10.01 $0.00" in read(alice, ORDERS)
    SpendEvent.objects.create(
        batch=paid.batch, source="billing", event_id="back", customer=alice, type="refund", payment=paid,
        original_currency="EUR", original_amount="9.99", rate=paid.rate, rate_day=paid.rate_day, amount="10.99",
        qualifies=True, occurred_at=day(1, 6),
    )  # fmt: skip
    # What is left is 0.02 at 1.1: $0.02.
    assert "$11.01 €10.01 $10.99" in read(alice, ORDERS)


def test_only_ones_own_payments_are_there(alice: User) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "of-bob", "12", day(1, 5)))
    assert "Nothing ordered or paid yet" in read(alice, ORDERS)
    assert "of-bob" in read(bob, ORDERS)


def test_payments_come_page_by_page_the_newest_first(alice: User) -> None:
    record(*(fact(alice, f"paid-{n:02}", "1", JANUARY + timedelta(days=n // 3)) for n in range(60)))
    seen: list[SpendEvent] = []
    page = payments(customer_id=alice.pk, after=None, now=NOW)
    while page.next:
        seen += page.rows
        page = payments(customer_id=alice.pk, after=page.next, now=NOW)
    seen += page.rows
    assert seen == list(SpendEvent.objects.order_by("-occurred_at", "-pk"))
    assert len(seen) == 60
    assert "Older payments" in read(alice, ORDERS)
    read(alice, f"{ORDERS}?after=x", status=400)


def test_a_full_page_runs_as_many_statements_as_a_short_one(alice: User, client: Client) -> None:
    client.force_login(alice)
    counts = []
    for batch in range(2):
        record(*(fact(alice, f"paid-{batch}-{n}", "1", JANUARY) for n in range(1 + 40 * batch)))
        for address in (ORDERS, FILE):
            with CaptureQueriesContext(connection) as statements:
                assert b"".join(client.get(address))
            counts.append(len(statements))
    assert counts[:2] == counts[2:] == [4, 3]


def test_the_file_has_every_payment(alice: User) -> None:
    bob = register("bob")
    record(fact(alice, "=one", "12", day(1, 5)), fact(alice, "two", "9", day(1, 6), product="cdn"))
    record(fact(bob, "of-bob", "1", day(1, 5)), refund(alice, "back", "2", "=one", day(1, 7)))
    client = Client()
    client.force_login(alice)
    rows = list(csv.reader(StringIO(client.get(FILE).getvalue().decode(), newline="")))
    assert rows == [
        ["payment_id", "product", "currency", "amount", "amount_usd", "reversed_usd", "qualifies", "occurred_at"],
        ["'=one", "Elastic Compute Service", "USD", "12.00", "12.00", "2.00", "yes", "2026-01-05T00:00:00Z"],
        ["two", "Content Delivery Network", "USD", "9.00", "9.00", "0.00", "no", "2026-01-06T00:00:00Z"],
    ]


@pytest.mark.parametrize("address", [ORDERS, FILE])
def test_visitors_are_asked_to_sign_in(address: str) -> None:
    assert Client().get(address)["Location"] == f"/accounts/login/?next={address}"
