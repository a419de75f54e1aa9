"""Reference rates, kept in a table, so that a batch of spend in any currency is worth its dollars in one statement."""

from collections.abc import Iterable
from csv import writer
from io import StringIO

from django.db import connection, transaction

from accounts.retries import retried
from billing.reference_rates import ReferenceRate

STAGE = """
CREATE TEMPORARY TABLE incoming_rate (currency text COLLATE "C", day date, rate numeric) ON COMMIT DROP
"""

COPY = "COPY incoming_rate FROM STDIN WITH (FORMAT csv)"

# A rate that the bank has corrected is corrected here; payments keep the rate that they were recorded at.
KEEP = """
INSERT INTO billing_exchangerate AS known (currency, day, rate)
SELECT DISTINCT ON (currency, day) currency, day, rate FROM incoming_rate ORDER BY currency, day
ON CONFLICT (currency, day) DO UPDATE SET rate = excluded.rate WHERE known.rate <> excluded.rate
"""


@retried
@transaction.atomic
def keep_rates(*, rates: Iterable[ReferenceRate]) -> int:
    """Keep these rates, in US dollars a unit; return how many were new or have changed (TERMS: Currencies)."""
    rows = StringIO()
    writer(rows).writerows(rates)
    rows.seek(0)
    with connection.cursor() as cursor:
        cursor.execute(STAGE)
        cursor.copy_expert(COPY, rows)
        cursor.execute(KEEP)
        kept = int(cursor.rowcount)
        cursor.execute("DROP TABLE incoming_rate")
    return kept
