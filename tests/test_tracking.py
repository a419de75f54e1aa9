"""Tracking at its borders: the largest sums that facts can bring (TERMS: What counts as spend)."""

import csv
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from referrals.models import Referral
from tests.facts import JANUARY, register
from tests.histories import SPEND_COLUMNS

pytestmark = pytest.mark.django_db(transaction=True)

LARGEST = Decimal("9999999999.99")


def test_a_hundred_and_one_largest_payments_are_summed_and_settled(tmp_path: Path) -> None:
    """More than twelve digits before the point: a sum is wider than any amount in it."""
    alice = register("alice")
    register("bob", referred_by=alice)
    spend = tmp_path / "spend.csv"
    with spend.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, SPEND_COLUMNS)
        writer.writeheader()
        for number in range(101):
            writer.writerow(
                {
                    "event_id": f"largest-{number}",
                    "account_id": "bob",
                    "type": "payment",
                    "product": "ecs",
                    "currency": "USD",
                    "amount": str(LARGEST),
                    "occurred_at": JANUARY.isoformat(),
                    "payment_id": "",
                }
            )
    call_command("import_spend", str(spend), stdout=StringIO())
    call_command("settle", as_of="2026-06-01T00:00:00Z", stdout=StringIO())
    bobs = Referral.objects.get(friend__account_id="bob")
    assert bobs.qualifying_spend.amount == bobs.window_spend.amount == 101 * LARGEST
    assert (bobs.payout_granted.amount, bobs.bonus_granted.amount) == (20, 280)
    assert list(bobs.rewards.values_list("window_spend", flat=True)) == [101 * LARGEST] * 2
