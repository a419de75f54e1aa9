"""Debts as sets: opened by a clawback, settled by grants, written off with their account.

The caller holds the customers' CreditAccounts.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection


class NewDebt(NamedTuple):
    """A debt to open, in US dollars, for one reward (`friend_id`, `kind`); `source` is its unique key."""

    customer_id: int
    friend_id: int
    kind: str
    source: str
    amount: Decimal


class DebtSettlement(NamedTuple):
    """How much of the debt with this source a grant settles, in US dollars; `reference` names the grant."""

    source: str
    amount: Decimal
    reference: str


OPEN = """
WITH wanted AS (
    SELECT * FROM unnest(
        %(customers)s::bigint[], %(friends)s::bigint[], %(kinds)s::text[], %(sources)s::text[], %(amounts)s::numeric[]
    ) WITH ORDINALITY AS wanted (customer_id, friend_id, kind, source, amount, place)
), debt AS (
    INSERT INTO credits_debt (customer_id, friend_id, kind, source, amount, outstanding, currency, opened_at)
    SELECT customer_id, friend_id, kind, source, amount, amount, 'USD', %(at)s FROM wanted ORDER BY place
    RETURNING id, source, amount
)
INSERT INTO credits_debtentry (debt_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
SELECT id, 'OPEN', amount, amount, 'USD', source, %(at)s, %(now)s FROM debt ORDER BY id
"""

SETTLE = """
WITH wanted AS (
    SELECT *, sum(amount) OVER (PARTITION BY source ORDER BY place) AS so_far FROM unnest(
        %(sources)s::text[], %(amounts)s::numeric[], %(references)s::text[]
    ) WITH ORDINALITY AS wanted (source, amount, reference, place)
), before AS (
    SELECT id, source, outstanding FROM credits_debt WHERE source = ANY(%(sources)s)
), debt AS (
    UPDATE credits_debt AS debt SET outstanding = before.outstanding - total.amount
    FROM before JOIN (SELECT source, sum(amount) AS amount FROM wanted GROUP BY source) AS total USING (source)
    WHERE debt.id = before.id
)
INSERT INTO credits_debtentry (debt_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
SELECT before.id, 'SETTLE', -wanted.amount, before.outstanding - wanted.so_far, 'USD', reference, %(at)s, %(now)s
FROM wanted JOIN before USING (source) ORDER BY place
"""

WRITE_OFF = """
WITH open AS (
    SELECT id, outstanding FROM credits_debt WHERE customer_id = %(customer)s AND outstanding > 0
), debt AS (
    UPDATE credits_debt AS debt SET outstanding = 0 FROM open WHERE debt.id = open.id
), entry AS (
    INSERT INTO credits_debtentry (debt_id, type, amount, balance_after, currency, reference, occurred_at, recorded_at)
    SELECT id, 'WRITE_OFF', -outstanding, 0, 'USD', %(reference)s, %(at)s, %(now)s FROM open ORDER BY id
)
SELECT coalesce(sum(outstanding), 0.00) FROM open
"""


def open_debts(*, debts: Sequence[NewDebt], at: datetime, now: datetime) -> None:
    """Open the debts as of `at`, in the order given, which is the order of their settlement."""
    if not debts:
        return
    names = ("customers", "friends", "kinds", "sources", "amounts")
    columns = [list(column) for column in zip(*debts, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(OPEN, {**dict(zip(names, columns, strict=True)), "at": at, "now": now})


def settle_debts(*, settlements: Sequence[DebtSettlement], at: datetime, now: datetime) -> None:
    """Lower the debts by what grants settle; the database refuses more than is outstanding."""
    if not settlements:
        return
    names = ("sources", "amounts", "references")
    columns = [list(column) for column in zip(*settlements, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(SETTLE, {**dict(zip(names, columns, strict=True)), "at": at, "now": now})


def write_off_debts(*, customer_id: int, reference: str, at: datetime, now: datetime) -> Decimal:
    """Write off all that a customer owes; return how much, in US dollars."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE_OFF, {"customer": customer_id, "reference": reference, "at": at, "now": now})
        return Decimal(cursor.fetchone()[0])
