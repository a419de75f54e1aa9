"""Coupons as sets: issued, expired, revoked. The caller holds the customers' CreditAccounts."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from accounts.arrays import bigints
from credits.models import Coupon
from credits.signals import coupons_expired


class NewCoupon(NamedTuple):
    """A coupon to issue; `amount` in US dollars, `source` its unique key, `friend_id` for payouts and bonuses."""

    customer_id: int
    kind: str
    friend_id: int | None
    source: str
    amount: Decimal
    issued_at: datetime
    expires_at: datetime


class Revocation(NamedTuple):
    """How much to revoke of one coupon, in US dollars."""

    coupon_id: int
    amount: Decimal


OPEN_ACCOUNTS = """
INSERT INTO credits_creditaccount (customer_id)
SELECT unnest(%(customers)s::bigint[]) AS customer_id ORDER BY customer_id
ON CONFLICT (customer_id) DO NOTHING
"""

LOCK_ACCOUNTS = """
SELECT customer_id FROM credits_creditaccount WHERE customer_id = ANY(%(customers)s::bigint[])
ORDER BY customer_id
FOR NO KEY UPDATE
"""

ISSUE = """
WITH wanted AS (
    SELECT * FROM unnest(
        %(customers)s::bigint[], %(kinds)s::text[], %(friends)s::bigint[], %(sources)s::text[],
        %(amounts)s::numeric[], %(issued)s::timestamptz[], %(expires)s::timestamptz[]
    ) WITH ORDINALITY AS wanted (customer_id, kind, friend_id, source, amount, issued_at, expires_at, place)
), coupon AS (
    INSERT INTO credits_coupon (customer_id, kind, friend_id, source, amount, remaining, redeemed, expired, revoked,
                                currency, issued_at, expires_at)
    SELECT customer_id, kind, friend_id, source, amount, amount, 0, 0, 0, 'USD', issued_at, expires_at
    FROM wanted ORDER BY place
    ON CONFLICT (source) DO NOTHING
    RETURNING id, source, amount, issued_at
), entry AS (
    INSERT INTO credits_couponentry
        (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
    SELECT id, 'ISSUE', amount, amount, 'USD', source, issued_at, %(now)s FROM coupon ORDER BY id
)
SELECT source, id FROM coupon
"""

EXPIRE = """
WITH lapsed AS (
    SELECT id, remaining, expires_at FROM credits_coupon
    WHERE customer_id = ANY(%(customers)s::bigint[]) AND remaining > 0 AND expires_at <= %(at)s
), coupon AS (
    UPDATE credits_coupon AS coupon SET remaining = 0, expired = coupon.expired + lapsed.remaining
    FROM lapsed WHERE coupon.id = lapsed.id
), entry AS (
    INSERT INTO credits_couponentry
        (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
    SELECT id, 'EXPIRE', -remaining, 0, 'USD', '', expires_at, %(now)s FROM lapsed ORDER BY id
)
SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM lapsed
"""

REVOKE = """
WITH wanted AS (
    SELECT * FROM unnest(%(coupons)s::bigint[], %(amounts)s::numeric[], %(references)s::text[])
        AS wanted (coupon_id, amount, reference)
), coupon AS (
    UPDATE credits_coupon AS coupon
    SET remaining = remaining - wanted.amount, revoked = revoked + wanted.amount
    FROM wanted WHERE coupon.id = wanted.coupon_id
    RETURNING coupon.id, wanted.amount, coupon.remaining, wanted.reference
)
INSERT INTO credits_couponentry
        (coupon_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
SELECT id, 'REVOKE', -amount, remaining, 'USD', reference, %(at)s, %(now)s FROM coupon ORDER BY id
"""

WITHDRAW = """
UPDATE credits_coupon SET withdrawn_at = %(at)s WHERE id = ANY(%(coupons)s) AND withdrawn_at IS NULL
"""

LEFT_ON = """
SELECT id, remaining FROM credits_coupon WHERE id = ANY(%(coupons)s) AND remaining > 0 AND expires_at > %(at)s
ORDER BY id
"""


def open_accounts(*, customer_ids: Sequence[int]) -> None:
    """Open a CreditAccount for every customer that has none."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN_ACCOUNTS, {"customers": bigints(customer_ids)})


def lock_accounts(*, customer_ids: Sequence[int], skip_locked: bool = False) -> list[int]:
    """Lock these customers' CreditAccounts by pk until the transaction ends; return whose were had.

    With `skip_locked`, those that somebody else holds are left out. What was read before must be read again.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"{LOCK_ACCOUNTS} SKIP LOCKED" if skip_locked else LOCK_ACCOUNTS, {"customers": bigints(customer_ids)}
        )
        return [row[0] for row in cursor.fetchall()]


def issue_coupons(*, coupons: Sequence[NewCoupon], now: datetime) -> dict[str, int]:
    """Issue the coupons whose source is new, with their ISSUE entries; return the pk of each, by source."""
    if not coupons:
        return {}
    columns = [list(column) for column in zip(*coupons, strict=True)]
    names = ("customers", "kinds", "friends", "sources", "amounts", "issued", "expires")
    with connection.cursor() as cursor:
        cursor.execute(ISSUE, {**dict(zip(names, columns, strict=True)), "now": now})
        return dict(cursor.fetchall())


def expire_coupons(*, customer_ids: Sequence[int], at: datetime, now: datetime) -> int:
    """Take what is left from the customers' coupons that expired by `at`; return how many (TERMS: Settlement, 1).

    The entry takes effect at `expires_at`, however late the sweep: from then on the coupon was not usable.
    """
    with connection.cursor() as cursor:
        cursor.execute(EXPIRE, {"customers": bigints(customer_ids), "at": at, "now": now})
        expired: list[int] = cursor.fetchone()[0]
    if expired:
        coupons_expired.send(sender=Coupon, coupon_ids=expired, now=now)
    return len(expired)


def revoke_amounts(
    *, revocations: Sequence[Revocation], references: Sequence[str], at: datetime, now: datetime
) -> None:
    """Revoke a given amount of each coupon; the database refuses more than is left."""
    if not revocations:
        return
    parameters: dict[str, Any] = {
        "coupons": [revocation.coupon_id for revocation in revocations],
        "amounts": [revocation.amount for revocation in revocations],
        "references": list(references),
        "at": at,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(REVOKE, parameters)


def revoke_coupons(
    *, coupon_ids: Sequence[int], at: datetime, now: datetime, reference: str, withdraw: bool = True
) -> Decimal:
    """Revoke all that is left on those of the coupons that have not expired by `at`; return how much, in US dollars.

    With `withdraw`, what an order gives back to any of them later is revoked at once.
    """
    with connection.cursor() as cursor:
        cursor.execute(LEFT_ON, {"coupons": list(coupon_ids), "at": at})
        left = [Revocation(*row) for row in cursor.fetchall()]
        if withdraw:
            cursor.execute(WITHDRAW, {"coupons": list(coupon_ids), "at": at})
    revoke_amounts(revocations=left, references=[reference] * len(left), at=at, now=now)
    return sum((revocation.amount for revocation in left), Decimal("0.00"))
