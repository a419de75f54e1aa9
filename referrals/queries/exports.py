"""The referrals as the export writes them (DESIGN: Doors)."""

from typing import IO

from django.db import connection

from referrals.queries.stages import STAGE

# Put together from constants of the code.
EXPORT_REFERRALS = f"""
COPY (
    SELECT friend.account_id AS friend_id, referrer.account_id AS referrer_id, {STAGE} AS status,
           qualifying_spend, window_spend, utc_text(qualified_at) AS qualified_at,
           utc_text(payout_due_at) AS payout_due_at, utc_text(bonus_due_at) AS bonus_due_at,
           payout_granted, bonus_granted
    FROM referrals_referral
    JOIN accounts_user AS friend ON friend.id = referrals_referral.friend_id
    JOIN accounts_user AS referrer ON referrer.id = referrals_referral.referrer_id
    ORDER BY referrals_referral.id
) TO STDOUT WITH (FORMAT csv, HEADER)
"""  # noqa: S608


def export_referrals(*, to: IO[str]) -> int:
    """Write every referral to `to` as CSV, row by row as Postgres sends it; return how many. One statement."""
    with connection.cursor() as cursor:
        cursor.copy_expert(EXPORT_REFERRALS, to)
        return int(cursor.rowcount)
