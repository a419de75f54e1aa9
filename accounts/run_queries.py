"""What an import has to tell."""

import json
from collections.abc import Iterator

from django.db import connection, transaction

from accounts.facts import Refusal
from accounts.models import ImportRun

REFUSALS = """
SELECT line, code, message, fact FROM accounts_refusedfact
WHERE run_id = %(run)s ORDER BY line NULLS LAST, id
"""


def refusals_of(run: ImportRun) -> Iterator[Refusal]:
    """Yield what the run refused, in order of lines, then what waited since an earlier file. One statement.

    The cursor lives in a transaction, and not beyond it as Django's `iterator` has it: so it is on one and the same
    connection behind a pooler, too.
    """
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(REFUSALS, {"run": run.pk})
        for line, code, message, fact in cursor:
            yield Refusal(line, code, message, json.loads(fact))
