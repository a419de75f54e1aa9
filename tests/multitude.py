"""The story told many times over, by SQL: books of any size in which every kind of trace stands, and all true.

A copy has its own ids: each row's is shifted by the same number, and so is what refers to it, by a key or in words
(`clawback:payout:7:1`). What names a row outside (an account's id, an event's id) gets the copy's number in front.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Field, ForeignKey, Model

APPS = ("accounts", "credits", "billing", "referrals")
# What stays small, however many customers there are.
SMALL = {
    "accounts_apikey",
    "accounts_clockoffset",
    "billing_exchangerate",
    "billing_product",
    "referrals_programmeterms",
}
# What names a row outside, by column.
NAMES = {"account_id", "email", "code", "event_id", "payment_event_id", "redemption_id", "return_id", "file_digest",
         "identity_digest", "key", "token", "flush_id", "number", "gateway_id"}  # fmt: skip
# Not the short word of a refusal.
NOT_NAMES = {("accounts_refusedfact", "code")}
# What names a row by its id: kind, perhaps another kind, id, perhaps a number.
IN_WORDS = {("credits_coupon", "source"), ("credits_couponentry", "reference"), ("credits_debt", "source"),
            ("credits_debtentry", "reference")}  # fmt: skip
WORDS = r"^((?:[a-z-]+:)+)(\d+)(.*)$"

REFERRED_BY = """
signup_attribution || CASE WHEN signup_attribution ? 'referred_by' THEN
    jsonb_build_object('referred_by', copy || '-' || (signup_attribution ->> 'referred_by')) ELSE '{}' END
"""

COPY = """
WITH told AS MATERIALIZED (SELECT *{parts} FROM {table})
INSERT INTO {table} ({columns}) SELECT {copies}
FROM generate_series(1, %(times)s) AS copy, told
"""


def growing_models() -> list[type[Model]]:
    """Every model of the product whose table grows with the customers."""
    return [
        model
        for app in APPS
        for model in apps.get_app_config(app).get_models(include_auto_created=True)
        if model._meta.db_table not in SMALL
    ]


def tell_again(*, times: int) -> None:
    """Put so many copies beside the story that the database holds; triggers and foreign keys do not look."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        shift = max(largest_key(model) for model in growing_models())
        for model in growing_models():
            copy(model, times=times, shift=shift)


def copy(model: type[Model], *, times: int, shift: int) -> None:
    table = model._meta.db_table
    fields = model._meta.local_concrete_fields
    worded = [field.column for field in fields if (table, field.column) in IN_WORDS]
    statement = COPY.format(
        table=table,
        parts="".join(f", regexp_match({column}, %(words)s) AS parts_of_{column}" for column in worded),
        columns=", ".join(str(field.column) for field in fields),
        copies=", ".join(copied(table, field) for field in fields),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"times": times, "shift": shift, "words": WORDS})


def copied(table: str, field: Field[Any, Any]) -> str:
    """Say in SQL what a copy has in this field."""
    column = str(field.column)
    if field.primary_key or (isinstance(field, ForeignKey) and field.related_model in growing_models()):
        return f"{column} + copy * %(shift)s"
    if (table, column) in IN_WORDS:
        parts = f"parts_of_{column}"
        return f"coalesce({parts}[1] || {parts}[2]::bigint + copy * %(shift)s || {parts}[3], {column})"
    if column == "signup_attribution":
        return REFERRED_BY
    if column in NAMES and (table, column) not in NOT_NAMES:
        return f"CASE {column} WHEN '' THEN '' ELSE left(copy || '-' || {column}, {field.max_length}) END"
    return column


def largest_key(model: type[Model]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT max({model._meta.pk.column}) FROM {model._meta.db_table}")
        return int(cursor.fetchone()[0] or 0)
