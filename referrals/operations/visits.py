"""Visits from Valkey into the database, in batches, each once."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from accounts.arrays import bigints
from accounts.retries import retried
from referrals import tally
from referrals.models import VisitFlush
from referrals.tally import Visit

# Far longer than a batch that was written can lie about in Valkey.
KEPT = timedelta(days=30)
MOST_BATCHES = 100

RECORD = """
WITH flush AS (
    INSERT INTO referrals_visitflush (flush_id, visits, flushed_at) VALUES (%(flush_id)s, %(total)s, %(now)s)
    ON CONFLICT (flush_id) DO NOTHING
    RETURNING visits
), counted AS (
    INSERT INTO referrals_visitcount AS count (link_id, day, channel, visits)
    SELECT link.id, visit.day, visit.channel, visit.visits
    FROM flush
    CROSS JOIN unnest(%(links)s::bigint[], %(days)s::date[], %(channels)s::text[], %(visits)s::bigint[])
        AS visit (link_id, day, channel, visits)
    JOIN referrals_referrallink AS link ON link.id = visit.link_id
    ORDER BY link.id, visit.day, visit.channel
    ON CONFLICT (link_id, day, channel) DO UPDATE SET visits = count.visits + excluded.visits
)
SELECT visits FROM flush
"""


def flush_visits(*, now: datetime) -> int:
    """Write what has been counted in Valkey; return how many visits. Raises RedisError where it is down.

    A batch leaves Valkey only after its transaction: one that was interrupted is taken up again, and counts once.
    """
    written = 0
    for _ in range(MOST_BATCHES):
        batch = tally.next_batch()
        if batch is None:
            break
        written += record_visits(batch_id=batch.batch_id, visits=batch.visits, now=now)
        tally.drop(batch)
    return written


@retried
@transaction.atomic
def record_visits(*, batch_id: str, visits: Mapping[Visit, int], now: datetime) -> int:
    """Add a batch of visits to the counts by link, day and channel; return how many: none where it was added before.

    The unique key of VisitFlush makes it once. Locks the counts in the order of their key. A link that is unknown is
    left out.
    """
    if not visits:
        return 0
    parameters: dict[str, Any] = {
        "flush_id": batch_id,
        "total": sum(visits.values()),
        "now": now,
        "links": bigints(visit.link_id for visit in visits),
        "days": [visit.day for visit in visits],
        "channels": [visit.channel for visit in visits],
        "visits": bigints(visits.values()),
    }
    VisitFlush.objects.filter(flushed_at__lte=now - KEPT).delete()
    with connection.cursor() as cursor:
        cursor.execute(RECORD, parameters)
        return sum(total for (total,) in cursor.fetchall())
