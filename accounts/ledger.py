"""What makes a table a ledger: rows are appended, and the database refuses to change them."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Func


class TransactionId(Func):
    """The id of the transaction that writes a row, as Postgres counts them over the whole server."""

    template = "pg_current_xact_id()::text::bigint"
    output_field: ClassVar[models.Field[int, int]] = models.BigIntegerField()


def recorded_in() -> models.BigIntegerField[int, int]:
    """Return the column that says which transaction wrote a row: by it, what is new is found (`accounts/changes.py`).

    The database fills it in, whoever inserts.
    """
    return models.BigIntegerField(db_default=TransactionId(), editable=False)


def append_only() -> list[pgtrigger.Trigger]:
    """Return the triggers that refuse UPDATE, DELETE and TRUNCATE on a table of facts (DESIGN: Facts first)."""
    return [
        pgtrigger.Protect(name="refuse_change", operation=pgtrigger.Update | pgtrigger.Delete),
        no_truncate(),
    ]


def no_truncate() -> pgtrigger.Trigger:
    """Return the trigger that refuses TRUNCATE: a Protect works row by row, and TRUNCATE has no rows."""
    return pgtrigger.Trigger(
        name="refuse_truncate",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;",
    )


def kept() -> list[pgtrigger.Trigger]:
    """Return the triggers for rows that may change, but never go."""
    return [pgtrigger.Protect(name="refuse_delete", operation=pgtrigger.Delete), no_truncate()]


def in_dollars(name: str) -> models.CheckConstraint:
    """Return the constraint that a row of money is in US dollars (TERMS: Programme terms)."""
    return models.CheckConstraint(name=name, condition=models.Q(currency="USD"))
