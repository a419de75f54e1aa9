"""What the planner knows of the tables, where work begins whose statements are over thousands of rows."""

from django.db import connection

# Postgres counts rows as they are committed, and the planner goes by the last ANALYZE, which comes a minute later or
# more. Until then a table that an import has filled is to the planner what it was: nearly empty, so that any way of
# reading it looks as cheap, and a statement over a chunk compares every row with every other.
#
# A crash forgets the counts: the second condition is for what had been analysed as empty before it.
GROWN = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND (
    pg_stat_get_live_tuples(oid) > 10 * greatest(reltuples, 100)
    OR (reltuples = 0 AND relpages > 100 AND pg_stat_get_last_analyze_time(oid) IS NULL
        AND pg_stat_get_last_autoanalyze_time(oid) IS NULL))
ORDER BY oid
"""


def analyse_grown_tables() -> list[str]:
    """Let the planner look again at each table that holds ten times what it knows of; return their names.

    One cheap statement where there is none. An ANALYZE reads a sample, of one size however large the table is.
    """
    with connection.cursor() as cursor:
        cursor.execute(GROWN)
        grown = [row[0] for row in cursor.fetchall()]
        if grown:
            cursor.execute(f"ANALYZE {', '.join(grown)}")
    return grown
