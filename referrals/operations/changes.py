"""Notes of what has changed: of those on a referral the last one is enough (docs/architecture.md: The change feed)."""

from django.db import connection, transaction

from accounts.retries import retried

# What is newer may commit late and be undone, so a note goes only for one below the horizon.
FORGET_CHANGES = """
WITH note AS (
    SELECT id, lead(recorded_in) OVER (PARTITION BY referral_id ORDER BY recorded_in) AS overtaken_in
    FROM referrals_referralchange
)
DELETE FROM referrals_referralchange USING note
WHERE referrals_referralchange.id = note.id
    AND note.overtaken_in < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
"""


@retried
def forget_changes() -> int:
    """Delete the notes that a later one on the same referral has overtaken; return how many.

    Whoever reads changes meets the later one. One statement, which locks what it deletes.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FORGET_CHANGES)
        return int(cursor.rowcount)
