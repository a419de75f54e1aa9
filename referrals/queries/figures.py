"""What all of a referrer's friends come to, and month by month. Money is in US dollars."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from typing import NamedTuple

from django.core.cache import cache
from django.db import connection
from djmoney.money import Money

MONTHS = 12
# Seconds. What the months show is kept under the figures that it adds up to, so that it changes when they do; only what
# moves from one month to another without changing any of them comes later.
KEPT_FOR = 600

# One pass over the customer's referrals; what is owed is looked up by its index.
FIGURES = """
SELECT count(*), count(qualified_at) FILTER (WHERE refused_at IS NULL),
       coalesce(sum(payout_granted), 0) + coalesce(sum(bonus_granted), 0),
       (SELECT coalesce(sum(greatest(payout_earned - payout_granted, 0) + greatest(bonus_earned - bonus_granted, 0)), 0)
        FROM referrals_referral
        WHERE referrer_id = %(customer)s
          AND (payout_granted < payout_earned AND NOT held OR bonus_granted < bonus_earned AND NOT held)),
       coalesce(sum(greatest(payout_earned - payout_granted, 0) + greatest(bonus_earned - bonus_granted, 0))
                FILTER (WHERE held), 0),
       (SELECT coalesce(sum(visits), 0) FROM referrals_visitcount WHERE link_id = %(link)s)
FROM referrals_referral WHERE referrer_id = %(customer)s
"""

# In each part, month 1 is the first of `starts` or `days`, and what lies before them is left out.
BY_MONTH = """
WITH friend AS MATERIALIZED (
    SELECT id, registered_at, CASE WHEN refused_at IS NULL THEN qualified_at END AS qualified_at
    FROM referrals_referral WHERE referrer_id = %(customer)s
), moved AS (
    SELECT granted_at AS at, amount FROM referrals_reward WHERE referral_id IN (SELECT id FROM friend)
    UNION ALL
    SELECT clawed_back_at, -(revoked + debt) FROM referrals_clawback WHERE referral_id IN (SELECT id FROM friend)
), part (name, month, value) AS (
    SELECT 'visits', width_bucket(day, %(days)s::date[]), sum(visits)
    FROM referrals_visitcount WHERE link_id = %(link)s AND day >= (%(days)s::date[])[1] GROUP BY 2
    UNION ALL
    SELECT 'joined', width_bucket(registered_at, %(starts)s::timestamptz[]), count(*) FROM friend GROUP BY 2
    UNION ALL
    SELECT 'qualified', width_bucket(qualified_at, %(starts)s::timestamptz[]), count(*)
    FROM friend WHERE qualified_at IS NOT NULL GROUP BY 2
    UNION ALL
    SELECT 'paid', width_bucket(at, %(starts)s::timestamptz[]), sum(amount) FROM moved GROUP BY 2
)
SELECT name, month, value FROM part WHERE month > 0
"""


@dataclass(frozen=True)
class Figures:
    """How often the link was opened, how many joined and qualified; what was received, is coming, or under review."""

    visits: int
    joined: int
    qualified: int
    received: Money
    coming: Money
    under_review: Money

    @property
    def is_empty(self) -> bool:
        return not (self.visits or self.joined)


class Month(NamedTuple):
    """One month of the reader's calendar, by its first instant, and what happened in it; `paid` less what was taken."""

    begins_at: datetime
    visits: int
    joined: int
    qualified: int
    paid: Decimal


def figures(*, customer_id: int, link_id: int | None, is_disqualified: bool) -> Figures:
    """Count and add up all of the customer's referrals in one pass. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, {"customer": customer_id, "link": link_id})
        joined, qualified, received, coming, under_review, visits = cursor.fetchone()
    return Figures(
        visits=int(visits),
        joined=joined,
        qualified=qualified,
        received=Money(received, "USD"),
        coming=Money(0 if is_disqualified else coming, "USD"),
        under_review=Money(0 if is_disqualified else under_review, "USD"),
    )


def months(*, customer_id: int, link_id: int | None, figures: Figures, zone: tzinfo, now: datetime) -> list[Month]:
    """Return the last twelve months of the calendar in `zone`, the present one last. One statement, or none.

    They are kept for a while under `figures`: where one of those has changed, they are read anew.
    """
    first_days = last_months(now.astimezone(zone).date(), MONTHS)
    key = _key(customer_id, figures, str(zone), first_days[-1].isoformat())
    found = cache.get(key)
    if found is None:
        found = _read_months(customer_id, link_id, first_days, zone)
        cache.set(key, found, KEPT_FOR)
    return [Month(_begin(day, zone), *values) for day, values in zip(first_days, found, strict=True)]


def last_months(today: date, number: int) -> list[date]:
    """Return the first days of so many months, the present one last. Pure."""
    month = today.year * 12 + today.month - 1
    return [date(one // 12, one % 12 + 1, 1) for one in range(month - number + 1, month + 1)]


def _read_months(
    customer_id: int, link_id: int | None, first_days: list[date], zone: tzinfo
) -> list[tuple[int, int, int, Decimal]]:
    parameters = {
        "customer": customer_id,
        "link": link_id,
        "days": first_days,
        "starts": [_begin(day, zone) for day in first_days],
    }
    with connection.cursor() as cursor:
        cursor.execute(BY_MONTH, parameters)
        values = {(name, month): value for name, month, value in cursor.fetchall()}
    return [
        (
            *(int(values.get((name, number), 0)) for name in ("visits", "joined", "qualified")),
            Decimal(values.get(("paid", number), 0)),
        )  # type: ignore[misc]  # three numbers and an amount
        for number in range(1, len(first_days) + 1)
    ]


def _begin(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _key(customer_id: int, *parts: object) -> str:
    """A key that says nothing but whose figures they are, by number."""
    said = repr([astuple(part) if isinstance(part, Figures) else part for part in parts])
    return f"months:{customer_id}:{hashlib.sha256(said.encode()).hexdigest()[:32]}"
