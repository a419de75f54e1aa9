"""Loading without indexes: all keys of the database are dropped, and made again over what was loaded meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

# Foreign keys first, then the keys and indexes that they rest on; made again the other way round.
KEYS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint
WHERE connamespace = current_schema::regnamespace AND contype IN ('f', 'p', 'u')
ORDER BY contype = 'f' DESC, conrelid::regclass::text, conname
"""

INDEXES = """
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = current_schema::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
ORDER BY indexrelid::regclass::text
"""

MEMORY = "SET LOCAL maintenance_work_mem = '512MB'"


@contextmanager
def without_indexes() -> Iterator[None]:
    """Drop every foreign key, key and index, and make them again at the end, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(MEMORY)
        statements: list[tuple[str, str]] = []
        for question in (KEYS, INDEXES):
            cursor.execute(question)
            statements += cursor.fetchall()
        for drop, _ in statements:
            cursor.execute(drop)
        yield
        for _, make in reversed(statements):
            cursor.execute(make)
