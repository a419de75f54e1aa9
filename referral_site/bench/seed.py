"""The referrals that the jobs find: made by SQL, tied together well enough for the engine to work on.

Friends are the users 1 to N, the referrers follow them, ten friends each. A friend's class, its number modulo 20, says
what is due for it, and a class is one turn of one side: the classes of PAYOUT have a payout due, those of BONUS a
bonus; those of IMPORT registered later and have no spend yet; the others are paid in full. Every friend has a welcome
coupon, and the class says when it expires. A referrer has one thing due in a turn, so that a reward is a customer.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InternalError, ProgrammingError, connection, transaction

BASE = datetime(2025, 1, 1, tzinfo=UTC)
# After all that the sweeps find due.
LATE = datetime(2025, 11, 1, tzinfo=UTC)
CLASSES = 20
PAYOUT = range(6)
BONUS = range(6, 12)
IMPORT = range(12, 18)
EXPIRY = range(6)
FRIENDS_EACH = 10
# Redemptions a turn at most: each has a customer of its own.
MOST_REDEMPTIONS = 200


@dataclass(frozen=True)
class Scale:
    """How many referrals there are."""

    referrals: int

    @property
    def referrers(self) -> int:
        return self.referrals // FRIENDS_EACH

    @property
    def slice(self) -> int:
        """How many referrals a class has."""
        return self.referrals // CLASSES

    @property
    def redemptions(self) -> int:
        """How many redemptions a turn has."""
        return min(MOST_REDEMPTIONS, self.referrers // 8)


USERS = """
INSERT INTO accounts_user (id, password, is_superuser, account_id, email, account_type, country, time_zone, created_at,
                           registered_at, signup_attribution, is_staff, is_active)
SELECT id, '', false, 'bench-' || id, 'bench-' || id || '@example.com', 'individual', 'US', 'UTC', %(base)s,
       CASE WHEN id <= %(friends)s AND id %% %(classes)s IN %(import_classes)s THEN %(late)s ELSE %(base)s END,
       '{}', false, true
FROM generate_series(1, %(friends)s + %(referrers)s) AS id
"""

ACCOUNTS = """
INSERT INTO credits_creditaccount (customer_id) SELECT generate_series(1, %(friends)s + %(referrers)s)
"""

# What a payout of $20, then a bonus of 10%% of $100.05, needs: $20, and $120.05.
REFERRALS = """
INSERT INTO referrals_referral (id, friend_id, referrer_id, terms_id, registered_at, created_at, tracked_at, currency,
                                qualifying_spend, window_spend, qualified_at, payout_due_at, bonus_due_at,
                                payout_earned, bonus_earned, payout_granted, payout_let_go, bonus_granted, bonus_let_go,
                                held)
SELECT friend, friend, %(friends)s + 1 + (friend - 1) / %(each)s, terms.id, registered_at, %(base)s, %(base)s, 'USD',
       spend, spend, qualified_at, qualified_at + interval '30 days' + class * interval '1 hour',
       registered_at + interval '120 days' + class * interval '1 hour',
       payout, bonus, CASE WHEN class IN %(payout_classes)s THEN 0 ELSE payout END, 0, 0, 0, false
FROM (SELECT id FROM referrals_programmeterms ORDER BY starts_at LIMIT 1) AS terms, (
    SELECT friend, friend %% %(classes)s AS class FROM generate_series(1, %(friends)s) AS friend
) AS friend CROSS JOIN LATERAL (
    SELECT CASE WHEN class IN %(import_classes)s THEN %(late)s ELSE %(base)s END AS registered_at,
           CASE WHEN class IN %(import_classes)s THEN 0
                WHEN class IN %(bonus_classes)s THEN 120.05 ELSE 20 END AS spend,
           CASE WHEN class NOT IN %(import_classes)s THEN %(base)s::timestamptz END AS qualified_at,
           CASE WHEN class IN %(import_classes)s THEN 0 ELSE 20 END AS payout,
           CASE WHEN class IN %(bonus_classes)s THEN 10.01 ELSE 0 END AS bonus
) AS figures
"""

BATCH = """
INSERT INTO billing_spendbatch (id, source, received_at, accepted, waiting, duplicate, refused, applied_at)
VALUES (1, 'seed', %(base)s, 0, 0, 0, 0, %(base)s)
"""

EVENTS = """
INSERT INTO billing_spendevent (batch_id, source, event_id, customer_id, type, product_id, original_currency,
                                original_amount, rate, amount, currency, qualifies, occurred_at)
SELECT 1, 'seed', 'seed-' || friend_id, friend_id, 'payment', product.id, 'USD', qualifying_spend, 1, qualifying_spend,
       'USD', true, qualified_at
FROM referrals_referral CROSS JOIN (SELECT id FROM billing_product WHERE code = 'ecs') AS product
WHERE qualified_at IS NOT NULL
"""

COUPONS = """
INSERT INTO credits_coupon (customer_id, kind, source, amount, remaining, redeemed, expired, revoked, currency,
                            issued_at, expires_at)
SELECT customer_id, kind, source, amount, amount, 0, 0, 0, 'USD', %(base)s, expires_at
FROM (
    SELECT friend AS customer_id, 'welcome' AS kind, 'welcome:' || friend AS source, 5.00 AS amount,
           %(base)s + interval '180 days' + friend %% %(classes)s * interval '1 hour' AS expires_at
    FROM generate_series(1, %(friends)s) AS friend
    UNION ALL
    SELECT %(friends)s + referrer, 'goodwill', 'goodwill:' || referrer || ':' || n, 5.00,
           %(base)s + interval '400 days' + n * interval '1 day'
    FROM generate_series(1, %(redeemers)s) AS referrer, generate_series(1, 3) AS n
    UNION ALL
    SELECT %(friends)s + %(referrers)s, 'goodwill', 'goodwill:crowd:' || n, 1000000, %(base)s + interval '500 days'
    FROM generate_series(1, 3) AS n
) AS coupon
"""

ENTRIES = """
INSERT INTO credits_couponentry (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
SELECT id, 'ISSUE', amount, amount, 'USD', source, issued_at, issued_at FROM credits_coupon
"""

SEQUENCES = """
SELECT setval(pg_get_serial_sequence(name, 'id'), 1 + %(friends)s + %(referrers)s)
FROM unnest(ARRAY['accounts_user', 'referrals_referral', 'billing_spendbatch']) AS name
"""


def seed(scale: Scale, *, payouts: bool) -> None:
    """Fill the empty scratch database, and leave it vacuumed and analysed.

    Without `payouts` those are granted already: whoever settles the bonuses of a customer settles the payouts too.
    """
    parameters: dict[str, Any] = {
        "base": BASE,
        "late": LATE,
        "friends": scale.referrals,
        "referrers": scale.referrers,
        "redeemers": scale.redemptions * len(PAYOUT),
        "each": FRIENDS_EACH,
        "classes": CLASSES,
        "payout_classes": tuple(PAYOUT) if payouts else (CLASSES,),
        "bonus_classes": tuple(BONUS),
        "import_classes": tuple(IMPORT),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        _without_foreign_keys()
        for statement in (USERS, ACCOUNTS, REFERRALS, BATCH, EVENTS, COUPONS, ENTRIES, SEQUENCES):
            cursor.execute(statement, parameters)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _without_foreign_keys() -> None:
    """Spare the seeding its checks row by row, where we are the server's superuser; else it takes longer."""
    with suppress(ProgrammingError, InternalError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")


def due_at(base_days: int, turn: int) -> datetime:
    """Return the instant at which the class `turn` of a sweep falls due, and none after it."""
    return BASE + timedelta(days=base_days, hours=turn)
