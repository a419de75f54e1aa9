"""`manage.py bench`: what it says, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from referral_site.bench import scratch
from referral_site.bench.scratch import LOCK_CLASS, scratch_database
from referrals.models import Referral
from tests.conftest import ROOT
from tests.database import database_url

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [
    "import",
    "import-refunds",
    "api-spend-events",
    "payout",
    "two-workers",
    "pinned-snapshot",
    "bonus",
    "expiry",
    "nothing-due",
    "redemption",
    "redemption-one-account-16-clients",
    "api-redemptions",
    "landing",
    "audit",
    "page-refer",
    "page-friend",
    "page-coupons",
    "page-api-lists",
]


def databases() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        return {row[0] for row in cursor.fetchall()}


def home() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        return str(cursor.fetchone()[0])


def test_bench_measures_every_job_beside_raw_sql_and_leaves_nothing(tmp_path: Path, capsys: Any) -> None:
    before, at_home = databases(), home()
    call_command("bench", "--scale", "2000", "--json", str(tmp_path / "figures.json"))
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [job["name"] for job in figures] == NAMES
    for job in figures:
        assert min(job[name] for name in ("ratio", "rows", "seconds", "raw_seconds", "rows_per_second")) > 0
        assert job["ratio"] == pytest.approx(job["raw_seconds"] / job["seconds"], rel=0.05, abs=0.001)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2000 referrals, 100 a turn; seeded in ")
    assert "cores" in said[0]
    assert said[1].split()[:5] == ["name", "rows", "seconds", "raw_seconds", "ratio"]
    assert [line.split()[0] for line in said[2:]] == NAMES
    assert (databases(), home()) == (before, at_home)
    assert not Referral.objects.exists()


def test_one_job_alone_finds_nothing_of_another(capsys: Any) -> None:
    call_command("bench", "--scale", "1000", "--only", "bonus")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["bonus"]


def test_as_many_are_due_as_asked_for_and_lie_together_if_asked(capsys: Any) -> None:
    call_command("bench", "--scale", "1000", "--due", "100", "--only", "payout", "--clustered")
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["payout", "100"]


@pytest.mark.parametrize(("due", "most"), [("101", "100"), ("0", "100"), ("many", "")])
def test_more_due_than_there_can_be_is_one_clear_error(due: str, most: str) -> None:
    with pytest.raises(CommandError, match=f"--due.*{most}"):
        call_command("bench", "--scale", "1000", "--only", "payout", f"--due={due}")


def test_a_large_file_is_imported_only_when_asked_for(capsys: Any) -> None:
    call_command("bench", "--scale", "1000", "--only", "import-memory")
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["import-memory", "5000"]


def test_days_of_growth_are_measured_by_each_way_of_vacuuming(tmp_path: Path, capsys: Any) -> None:
    before, figures = databases(), tmp_path / "figures.json"
    call_command("bench", "--scale", "2000", "--only", "growth", "--days", "3", "--json", str(figures))
    grown = {one["name"]: one for one in json.loads(figures.read_text())}
    assert list(grown) == ["growth-never", "growth-server", "growth-tables"]
    for one in grown.values():
        assert min(one[name] for name in ("ratio", "rows", "seconds", "raw_seconds")) > 0
        (referrals,) = [table for table in one["tables"] if table["table"] == "referrals_referral"]
        assert referrals["rows"] == referrals["rows_before"] == 2000
        assert referrals["updates"] > referrals["hot_updates"]
        # Without a vacuum it depends on what other sessions still see whether a page has room again.
        assert referrals["hot_updates"] > 0 or one["name"] == "growth-never"
    vacuums = {name: sum(table["vacuums"] for table in one["tables"]) for name, one in grown.items()}
    assert vacuums["growth-never"] == 0 < vacuums["growth-tables"]
    assert "nothing due took" in capsys.readouterr().out
    assert databases() == before


def test_a_bench_that_fails_leaves_no_database() -> None:
    before, at_home = databases(), home()
    with pytest.raises(ZeroDivisionError):
        fail_in_scratch_database(before)
    assert (databases(), home()) == (before, at_home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_impatient_second_signal_leaves_no_database(monkeypatch: Any, number: signal.Signals) -> None:
    before = databases()
    handler = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            stop_in_scratch_database(monkeypatch, number)
    finally:
        signal.signal(number, handler)
    assert databases() == before


def test_a_bench_that_is_stopped_leaves_no_database() -> None:
    before = databases()
    bench = started()
    wait_until(lambda: databases() != before, bench)
    bench.terminate()
    assert bench.wait(20) == 128 + signal.SIGTERM
    assert databases() == before


def test_a_bench_drops_what_a_killed_one_has_left_and_not_what_another_uses() -> None:
    before = databases()
    bench = started()
    wait_until(lambda: databases() != before, bench)
    (other,) = databases() - before
    with scratch_database():
        assert other in databases()
    bench.kill()
    bench.wait(20)
    wait_until(lambda: not has_clients(other))
    with scratch_database():
        assert other not in databases()
    assert databases() == before


@pytest.mark.parametrize("scale", ["999", "-2000", "2e6", "many", "٢٠٠٠"])
def test_a_scale_that_is_none_is_one_clear_error(scale: str) -> None:
    with pytest.raises(CommandError, match="--scale"):
        call_command("bench", f"--scale={scale}")


def test_a_job_that_is_none_is_one_clear_error() -> None:
    with pytest.raises(CommandError, match="--only"):
        call_command("bench", "--only", "everything")


def fail_in_scratch_database(before: set[str]) -> None:
    with scratch_database() as name:
        assert home() == name
        assert databases() == before | {name}
        raise ZeroDivisionError


def stop_in_scratch_database(monkeypatch: Any, number: signal.Signals) -> None:
    with scratch_database():
        monkeypatch.setattr(scratch, "connect_to", signalled(scratch.connect_to, number))
        raise KeyboardInterrupt


def signalled(step: Callable[[str], None], number: signal.Signals) -> Callable[[str], None]:
    """A step during which the signal comes."""

    def run(name: str) -> None:
        os.kill(os.getpid(), number)
        step(name)

    return run


def test_figures_that_have_no_place_are_an_error_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--json"):
        call_command("bench", "--scale", "2000", "--json", str(tmp_path / "nowhere" / "figures.json"))


def started() -> subprocess.Popen[bytes]:
    """Start a bench in a process of its own, on the tests' server."""
    environment = os.environ | {"DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    return subprocess.Popen(
        [sys.executable, "manage.py", "bench", "--scale", "2000"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )


def wait_until(there: Callable[[], bool], bench: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something is there, while the bench runs."""
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        assert bench is None or bench.poll() is None
        time.sleep(0.05)


def has_clients(database: str) -> bool:
    """Whether anybody is in the database, or holds its bench's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %(name)s)
                OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = %(class)s)
            """,
            {"name": database, "class": LOCK_CLASS},
        )
        return bool(cursor.fetchone()[0])
