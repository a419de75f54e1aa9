"""Each page and each export runs the same statements for 10 referrals and for 10,000."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2.extensions
import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from credits.models import Coupon
from referrals.models import Referral
from tests.facts import fact, record, register
from tests.pages import make_eligible

# Rows in number, written by one statement: not a true story.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.untrue_rows]

# The overview, which is of all parts of the console, may run one more.
MOST = 8
FEW, MANY = 10, 10_000

# Friends at every stage, a coupon and its entries for every second one, a debt for every fifth.
GROW = """
WITH friend AS (
    INSERT INTO accounts_user (account_id, email, password, account_type, country, time_zone, created_at, registered_at,
                               signup_attribution, is_staff, is_active, is_superuser)
    SELECT 'friend-' || n, 'friend-' || n || '@example.com', '', 'individual', '', 'UTC', joined, joined, '{}',
           false, true, false
    FROM generate_series(%(from)s, %(to)s) AS n,
         LATERAL (SELECT timestamptz '2026-01-01Z' + n %% 90 * interval '1 day' AS joined) AS day
    RETURNING id, registered_at, substr(account_id, 8)::int AS n
), referral AS (
    INSERT INTO referrals_referral (friend_id, referrer_id, terms_id, registered_at, created_at, tracked_at,
        qualifying_spend, window_spend, qualified_at, payout_due_at, bonus_due_at, payout_earned, bonus_earned,
        payout_granted, payout_let_go, bonus_granted, bonus_let_go, currency, held)
    SELECT id, %(referrer)s, (SELECT min(id) FROM referrals_programmeterms), registered_at, registered_at,
        registered_at, spend, spend, qualified_at, qualified_at + interval '30 days',
        registered_at + interval '120 days',
        earned, 0, granted, 0, 0, 0, 'USD', n %% 7 = 0
    FROM friend, LATERAL (
        SELECT CASE WHEN n %% 3 > 0 THEN 20 ELSE n %% 20 END AS spend,
               CASE WHEN n %% 3 > 0 THEN registered_at + interval '1 day' END AS qualified_at,
               CASE WHEN n %% 3 > 0 THEN 20 ELSE 0 END AS earned,
               CASE WHEN n %% 3 = 1 THEN 20 ELSE 0 END AS granted) AS state
    RETURNING id, friend_id, registered_at
), coupon AS (
    INSERT INTO credits_coupon (customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked,
                                currency, issued_at, expires_at)
    SELECT %(referrer)s, 'payout', friend_id, 'payout:' || id || ':1', 20, 20, 0, 0, 0, 'USD',
           registered_at, registered_at + interval '3650 days'
    FROM referral WHERE id %% 2 = 0
    RETURNING id, issued_at, friend_id
), entry AS (
    INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, reference, occurred_at,
                                     recorded_at)
    SELECT id, 'ISSUE', 20, 20, 'USD', '', issued_at, issued_at FROM coupon
), reward AS (
    INSERT INTO referrals_reward (referral_id, kind, n, amount, debts_settled, coupon_id, earned, qualifying_spend,
                                  window_spend, currency, granted_at, recorded_at)
    SELECT referral.id, 'payout', 1, 20, 0, coupon.id, 20, 20, 20, 'USD', issued_at, issued_at
    FROM coupon JOIN referral USING (friend_id)
)
INSERT INTO credits_debt (customer_id, friend_id, kind, source, amount, outstanding, currency, opened_at)
SELECT %(referrer)s, friend_id, 'payout', 'clawback:payout:' || id || ':1', 20, 20, 'USD', registered_at
FROM referral WHERE id %% 5 = 0
"""


@pytest.fixture
def alice() -> User:
    alice = register("alice")
    make_eligible(alice)
    return alice


def grow(referrer: User, first: int, last: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(GROW, {"referrer": referrer.pk, "from": first, "to": last})
        cursor.execute("ANALYZE")


def statements_of_pages(reader: User) -> dict[str, int]:
    coupon = Coupon.objects.filter(kind="payout").earliest("pk")
    referral = Referral.objects.earliest("pk")
    addresses = [
        "/console/refer/",
        "/console/refer/?after=1772323200000000_100000",
        "/console/refer/?sort=next",
        "/console/refer/?sort=earned&stage=paid",
        "/console/refer/friends.csv",
        "/console/",
        f"/console/refer/{referral.pk}/",
        "/console/coupons/",
        "/console/coupons/?show=expired",
        f"/console/coupons/{coupon.pk}/",
        "/console/coupons/coupons.csv",
        f"/console/coupons/{coupon.pk}/movements.csv",
        "/console/orders/",
        "/console/orders/payments.csv",
        "/console/catalogue/",
        "/console/checkout/?item=ecs:1&key=0123456789abcdef",
    ]
    client = Client()
    client.force_login(reader)
    return {address: statements_of(client, address) for address in addresses}


def statements_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as statements:
        response = client.get(address)
        assert response.status_code == 200
        assert b"".join(response)
    return len(statements)


def test_pages_run_as_many_statements_for_10000_referrals_as_for_10(alice: User) -> None:
    grow(alice, 1, FEW)
    few = statements_of_pages(alice)
    grow(alice, FEW + 1, MANY)
    assert Referral.objects.filter(referrer=alice).count() == MANY
    assert statements_of_pages(alice) == few
    assert few.pop("/console/") <= MOST + 1
    assert max(few.values()) <= MOST, few


def test_own_referral_runs_as_many_statements_for_100_payments_as_for_one(alice: User) -> None:
    bob, client = register("bob", referred_by=alice), Client()
    client.force_login(bob)
    record(fact(bob, "first", "1"))
    few = statements_of(client, "/console/refer/own/")
    record(*(fact(bob, f"more-{number}", "1") for number in range(100)))
    assert statements_of(client, "/console/refer/own/") == few <= MOST


def test_the_list_alone_runs_fewer_statements(alice: User) -> None:
    grow(alice, 1, FEW)
    client = Client(headers={"hx-request": "true"})
    client.force_login(alice)
    assert statements_of(client, "/console/refer/") <= MOST / 2


class CountingCursor(psycopg2.extensions.cursor):  # type: ignore[misc]  # psycopg2 has no types
    """Counts what Django's own counting does not see: COPY too."""

    statements = 0

    def execute(self, *statement: object) -> None:
        CountingCursor.statements += 1
        super().execute(*statement)

    def copy_expert(self, *statement: object) -> None:
        CountingCursor.statements += 1
        super().copy_expert(*statement)


@contextmanager
def counted() -> Iterator[None]:
    CountingCursor.statements = 0
    connection.ensure_connection()
    usual, connection.connection.cursor_factory = connection.connection.cursor_factory, CountingCursor
    try:
        yield
    finally:
        connection.connection.cursor_factory = usual


def test_an_export_is_one_statement_however_many_referrals(alice: User, tmp_path: Path) -> None:
    for first, last in ((1, FEW), (FEW + 1, MANY)):
        grow(alice, first, last)
        for command, rows in (("export_coupons", last // 2), ("export_entries", last // 2), ("export_referrals", last)):
            out = io.StringIO()
            with counted():
                call_command(command, to=str(tmp_path / "out.csv"), stdout=out)
            assert CountingCursor.statements == 1
            assert int(out.getvalue().removeprefix("exported=")) >= rows
