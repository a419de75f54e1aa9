"""Simulated days of the programme: how many dead rows they leave, how far tables and indexes grow, and what autovacuum
does about it.

The days pass in minutes, so that the server's own autovacuum would come far too seldom. It is switched off, and after
each step whatever it would have taken up by then is vacuumed or analysed: by each table's settings, by the server's
defaults, or never.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from statistics import median

from django.db import connection
from djmoney.money import Money

from billing.operations import SpendFact, record_spend
from credits.operations import redeem
from referral_site.audit import audit
from referral_site.bench import growth_sql as sql
from referral_site.bench.imports import no_hint
from referral_site.bench.measure import UnableToCompare, forget_peak, peak_mib
from referral_site.bench.scratch import migrate, scratch_database
from referral_site.bench.seed import BASE, WITH_BONUS, Cohort, Scale, seed
from referrals.operations import settle, track

BEGIN = BASE + timedelta(days=200)
STEPS_A_DAY = 4
STEP = timedelta(days=1) / STEPS_A_DAY
# Of a thousand referrals so many a day: payouts, bonuses, expiries and redemptions each; and payments.
DUE_A_DAY = 1000 / 300
SPEND_EVERY = 10
CHUNK = 10_000
PAYMENT = Decimal("5.00")
REDEMPTION = Money("7.00", "USD")
# Days whose median stands for the beginning, and for the end.
ENDS = 5
EVERYTHING = frozenset({"referrals", "spend", "welcomes", "trials", "rewards"})
MIB = 1 << 20


class Autovacuum(Enum):
    """Whose settings say when a table is vacuumed."""

    NEVER = "never"
    SERVER = "server"
    TABLES = "tables"


@dataclass(frozen=True)
class TableGrowth:
    """A table before and after; `tight` is what it takes once it is written anew. Sizes in MiB."""

    table: str
    rows_before: int
    rows: int
    dead_rows: int
    updates: int
    hot_updates: int
    vacuums: int
    analyzes: int
    heap_mib_before: float
    heap_mib: float
    heap_mib_tight: float
    index_mib_before: float
    index_mib: float
    index_mib_tight: float


@dataclass(frozen=True)
class Grown:
    """Days of the programme. `rows` is the work of a day, `raw_seconds` that of the first days, `seconds` of the last.

    `ratio` is the one over the other: 1 is a programme that does not get slower. `idle_ms` is what a settlement with
    nothing due takes: before, after, and once the tables are written anew.
    """

    name: str
    referrals: int
    rows: int
    seconds: float
    raw_seconds: float
    ratio: float
    rows_per_second: float
    peak_mib: float
    days: int
    vacuum_seconds: float
    idle_ms: list[float]
    tables: list[TableGrowth]


_Tables = dict[str, dict[str, int]]


@dataclass(frozen=True)
class _State:
    """What a settlement with nothing due takes, and what the server knows of each table."""

    idle_ms: float
    tables: _Tables


def grow(*, referrals: int, days: int, clustered: bool) -> Iterator[Grown]:
    """Let the days pass three times, each in a scratch database of its own. Raises UnableToMakeScratchDatabase."""
    scale = Scale(referrals, max(1, round(referrals * DUE_A_DAY / 1000 / STEPS_A_DAY)), clustered)
    for autovacuum in Autovacuum:
        yield _grow(scale, days, autovacuum)


def cohorts_of(scale: Scale, days: int) -> list[Cohort]:
    """A cohort a step whose payout falls due, one with a bonus and one whose welcome credit expires.

    Of the others, who have nothing due, every third is still in the window that its bonus counts.
    """
    begins = [BEGIN + number * STEP for number in range(days * STEPS_A_DAY)]
    others = scale.cohorts - 3 * len(begins)
    return [
        *(Cohort(at - timedelta(days=30), is_paid=False) for at in begins),
        *(Cohort(at - timedelta(days=120), WITH_BONUS) for at in begins),
        *(Cohort(at - timedelta(days=180)) for at in begins),
        *(Cohort(BEGIN - timedelta(days=100 if number % 3 else 30)) for number in range(others)),
    ]


def _grow(scale: Scale, days: int, autovacuum: Autovacuum) -> Grown:
    with scratch_database(), no_hint():
        migrate()
        if autovacuum is not Autovacuum.TABLES:
            _execute_each(sql.FORGET_SETTINGS)
        seed(scale, cohorts=cohorts_of(scale, days), needs=EVERYTHING)
        _execute_each(sql.SWITCH_OFF)
        before, vacuums, customers = _state(BEGIN - STEP), _Vacuums(autovacuum), _customers(days)
        forget_peak()
        work = [_day(scale, day, customers, vacuums) for day in range(days)]
        peak = peak_mib()
        after = _state(BEGIN + timedelta(days=days) - STEP)
        if wrong := [line for finding in audit(now=BEGIN + timedelta(days=3650)) for line in finding.lines[:3]]:
            raise UnableToCompare("\n".join(["growth: the books are wrong.", *wrong]))
        _execute_each(sql.WRITE_ANEW)
        tight = _state(BEGIN + timedelta(days=days) - STEP)
        return _grown(scale, work, vacuums, [before, after, tight], peak)


@dataclass
class _Vacuums:
    """What autovacuum would have done: how often for each table, and how long it took."""

    autovacuum: Autovacuum
    seconds: float = 0.0

    def do_what_is_due(self) -> None:
        if self.autovacuum is Autovacuum.NEVER:
            return
        began = time.perf_counter()
        _execute_each(sql.DUE)
        self.seconds += time.perf_counter() - began


def _customers(days: int) -> list[int]:
    """Return who has credit for as long as the days last."""
    with connection.cursor() as cursor:
        cursor.execute(sql.WITH_CREDIT, {"end": BEGIN + timedelta(days=days)})
        return [row[0] for row in cursor.fetchall()]


def _day(scale: Scale, day: int, customers: list[int], vacuums: _Vacuums) -> float:
    """Let a day pass; return the seconds of its work without the vacuums."""
    seconds = 0.0
    for step in range(day * STEPS_A_DAY, (day + 1) * STEPS_A_DAY):
        # After the last minute at which somebody of the step's cohorts has registered.
        at = BEGIN + step * STEP + timedelta(minutes=30)
        began = time.perf_counter()
        _spend(scale, step, at)
        track(now=at)
        settle(as_of=at, now=at)
        _redeem(step, customers, scale.due, at)
        seconds += time.perf_counter() - began
        vacuums.do_what_is_due()
    return seconds


def _spend(scale: Scale, step: int, at: datetime) -> None:
    """Record a payment of each friend whose turn it is; every friend pays once in ten days."""
    every = SPEND_EVERY * STEPS_A_DAY
    facts = [
        SpendFact(
            line, f"{step}-{friend}", f"bench-{friend}", "payment", "ecs", "USD", str(PAYMENT), at.isoformat(), ""
        )
        for line, friend in enumerate(range(1 + step % every, scale.referrals + 1, every), 1)
    ]
    for start in range(0, len(facts), CHUNK):
        record_spend(source="billing", facts=facts[start : start + CHUNK], now=at)


def _redeem(step: int, customers: list[int], each: int, at: datetime) -> None:
    """Redeem a part of a payout for the next ones of the customers, `each` a step."""
    for number in range(step * each, (step + 1) * each):
        redeem(
            source="bench",
            redemption_id=str(number),
            customer_id=customers[number % len(customers)],
            amount=REDEMPTION,
            occurred_at=at,
            now=at,
        )


def _grown(scale: Scale, work: list[float], vacuums: _Vacuums, states: list[_State], peak: float) -> Grown:
    first, last = median(work[:ENDS]), median(work[-ENDS:])
    rows = round(scale.referrals / SPEND_EVERY) + 4 * STEPS_A_DAY * scale.due
    return Grown(
        name=f"growth-{vacuums.autovacuum.value}",
        referrals=scale.referrals,
        rows=rows,
        seconds=round(last, 6),
        raw_seconds=round(first, 6),
        ratio=round(first / last, 3),
        rows_per_second=round(rows / last, 1),
        peak_mib=round(peak, 1),
        days=len(work),
        vacuum_seconds=round(vacuums.seconds, 3),
        idle_ms=[state.idle_ms for state in states],
        tables=_tables(*(state.tables for state in states)),
    )


def _tables(before: _Tables, after: _Tables, tight: _Tables) -> list[TableGrowth]:
    changed = [name for name in sorted(after) if after[name]["changes"] > before[name]["changes"]]
    return [_table(name, before[name], after[name], tight[name]) for name in changed]


def _table(name: str, before: dict[str, int], after: dict[str, int], tight: dict[str, int]) -> TableGrowth:
    counted = ("updates", "hot_updates", "vacuums", "analyzes")
    sizes = {
        f"{part}_mib{suffix}": round(state[part] / MIB, 2)
        for part in ("heap", "index")
        for suffix, state in (("_before", before), ("", after), ("_tight", tight))
    }
    return TableGrowth(
        table=name,
        rows_before=before["rows"],
        rows=after["rows"],
        dead_rows=after["dead_rows"],
        **{part: after[part] - before[part] for part in counted},
        **sizes,  # type: ignore[arg-type]
    )


def _state(at: datetime) -> _State:
    """Return how the database stands; at `at`, nothing is due."""
    idle_ms = round(1000 * median(_seconds_of_settling(at) for _ in range(5)), 2)
    with connection.cursor() as cursor:
        cursor.execute(sql.COUNT_NOW)
        cursor.execute(sql.SIZES)
        names = [column.name for column in cursor.description]
        return _State(idle_ms, {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in cursor.fetchall()})


def _seconds_of_settling(at: datetime) -> float:
    began = time.perf_counter()
    settle(as_of=at, now=at)
    return time.perf_counter() - began


def _execute_each(question: str) -> None:
    """Execute each statement that the question answers with."""
    with connection.cursor() as cursor:
        cursor.execute(sql.COUNT_NOW)
        cursor.execute(question)
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)
