"""Reminders of credit and trials that expire soon."""

from datetime import UTC, datetime, timedelta

from django.db import connection

from accounts.operations.outbox import REACHABLE
from accounts.retries import retried
from credits.models import Coupon
from credits.signals import coupons_expiring

DAYS_BEFORE = (14, 3)
"""How long before it expires customers are reminded of what they have not used; the nearest comes last."""

# A customer is told once of all that expires on one day, so that ten coupons that came together are one mail: when the
# first of them is near enough, of those that expire later on that day, too. Coupons are valid for months: none comes
# whose day was told of before.
REMIND = f"""
WITH soon AS (
    SELECT coupon.id, customer_id, remaining, expires_at, coupon.kind = 'trial' AS is_trial,
           (expires_at AT TIME ZONE 'UTC')::date AS day
    FROM credits_coupon AS coupon
    JOIN credits_creditaccount AS account USING (customer_id)
    JOIN accounts_user AS customer ON customer.id = customer_id
    WHERE remaining > 0 AND expires_at > %(after)s AND expires_at < %(day_after)s AND issued_at <= %(now)s
        AND account.frozen_at IS NULL AND customer.wants_expiry_mail AND {REACHABLE}
)
INSERT INTO accounts_outboxmessage (key, kind, customer_id, recipient, facts, created_at, due_at, attempts, error)
SELECT concat_ws(':', 'credit_expiring', %(days)s, customer_id, day, CASE WHEN is_trial THEN 'trial' END),
       'credit_expiring', customer_id, '', jsonb_build_object(
           'is_trial', is_trial, 'coupons', count(*), 'left_amount', sum(remaining)::text, 'coupon_id', min(id),
           'expires_at', min(expires_at), 'last_expires_at', max(expires_at)), %(now)s, %(now)s, 0, ''
FROM soon GROUP BY customer_id, day, is_trial HAVING min(expires_at) <= %(until)s
ORDER BY customer_id, day, is_trial
ON CONFLICT (key) DO NOTHING
"""  # noqa: S608  # constants of the code


@retried
def remind_expiring(*, now: datetime) -> int:
    """Write a mail to every customer with credit, or a trial, that expires within DAYS_BEFORE and was not told of yet.

    Return how many. Of what is left only, and not of frozen credit. One statement for each number of days; what else is
    to be said of these coupons, whoever can be told, hangs on `coupons_expiring`.
    """
    nearer = (*DAYS_BEFORE[1:], 0)
    written = 0
    with connection.cursor() as cursor:
        for days, next_days in zip(DAYS_BEFORE, nearer, strict=True):
            until = now + timedelta(days=days)
            window = {"after": now + timedelta(days=next_days), "until": until, "day_after": _day_after(until)}
            cursor.execute(REMIND, {**window, "days": days, "now": now})
            written += cursor.rowcount
            coupons_expiring.send(sender=Coupon, days=days, after=window["after"], until=until, now=now)
    return written


def _day_after(at: datetime) -> datetime:
    """When the day of an instant, of UTC, ends."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
