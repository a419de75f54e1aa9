"""Random histories: the engine on Postgres comes to what the plain reading of TERMS.md comes to, to the cent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from referrals.operations import settle, track
from tests.books import assert_clean_audit
from tests.database import empty_database
from tests.engine import Answer, Engine, start_terms, utc_text
from tests.histories import NOW, SECOND_TERMS, Step, apply, histories, programme
from tests.plain_reading import Outcome, Programme

Row = tuple[str, ...]
COUPON = (
    "account_id", "kind", "friend_id", "amount", "remaining", "redeemed", "expired", "revoked", "issued_at",
    "expires_at",
)  # fmt: skip
ENTRY = ("type", "amount", "balance_after", "occurred_at")
REFERRAL = (
    "friend_id", "referrer_id", "status", "qualifying_spend", "window_spend", "qualified_at", "payout_due_at",
    "bonus_due_at", "payout_granted", "bonus_granted",
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=histories(), chunk_size=st.sampled_from([1, 2, 3, 1000]))
@pytest.mark.django_db(transaction=True)
def test_the_engine_agrees_with_the_plain_reading(steps: list[Step], chunk_size: int, tmp_path: Path) -> None:
    empty_database()
    start_terms(SECOND_TERMS)
    plain, engine = programme(), Engine(tmp_path, chunk_size)
    with time_machine.travel(NOW, tick=False):
        for step in steps:
            note(str(step))
            assert engine.take(step) == answer(apply(plain, step)), step
        compare(plain, engine)
        if last := last_settlement(steps):
            settle(as_of=last, now=NOW)
            plain.settle(last)
            compare(plain, engine)
            assert_settling_again_changes_nothing(engine, last)
        assert_clean_audit()


def answer(outcome: Outcome | None) -> Answer | None:
    """Say what the plain reading said in the engine's words."""
    if outcome is None:
        return None
    refusals = sorted(((refusal.row, refusal.code) for refusal in outcome.refusals), key=str)
    return Answer(outcome.accepted, outcome.waiting, outcome.duplicate, outcome.refused, tuple(refusals))


def last_settlement(steps: Sequence[Step]) -> datetime | None:
    instants = [step.at for step in steps if step.kind == "settle"]
    return instants[-1] if instants else None


def compare(plain: Programme, engine: Engine) -> None:
    track(now=NOW)
    assert rows(engine.export("referrals"), REFERRAL) == rows(map(written, plain.referrals()), REFERRAL)
    coupons, plain_coupons = engine.export("coupons"), list(map(written, plain.coupons()))
    assert rows(coupons, COUPON) == rows(plain_coupons, COUPON)
    assert ledgers(coupons, engine.export("entries"), "coupon_id") == ledgers(
        [{**coupon, "coupon_id": str(place)} for place, coupon in enumerate(plain_coupons)],
        [{**written(entry), "coupon_id": str(entry["coupon"])} for entry in plain.entries()],
        "coupon_id",
    )


def written(row: dict[str, Any]) -> dict[str, str]:
    """Write the values of the plain reading as the exports do."""
    texts = {}
    for name, value in row.items():
        if isinstance(value, Decimal):
            texts[name] = f"{value:.2f}"
        elif isinstance(value, datetime) or value is None:
            texts[name] = utc_text(value)
        else:
            texts[name] = str(value)
    return texts


def rows(table: Iterable[dict[str, str]], columns: Sequence[str]) -> Counter[Row]:
    return Counter(tuple(row[column] for column in columns) for row in table)


def ledgers(
    coupons: list[dict[str, str]], entries: list[dict[str, str]], key: str
) -> Counter[tuple[Row, tuple[Row, ...]]]:
    """Return every coupon with its entries in order."""
    by_coupon: dict[str, list[Row]] = {coupon[key]: [] for coupon in coupons}
    for entry in entries:
        by_coupon[entry[key]].append(tuple(entry[column] for column in ENTRY))
    return Counter((tuple(coupon[column] for column in COUPON), tuple(by_coupon[coupon[key]])) for coupon in coupons)


def assert_settling_again_changes_nothing(engine: Engine, at: datetime) -> None:
    tables = ("referrals", "coupons", "entries")
    before = [engine.export(table) for table in tables]
    assert str(settle(as_of=at, now=NOW)) == "tracked=0 customers=0 expired=0 clawed_back=0 granted=0 amount=0.00"
    assert [engine.export(table) for table in tables] == before
