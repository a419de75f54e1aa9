"""Machines whose clocks are an hour off, ahead or behind, until they are corrected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.crash.staging import TRACKED, Stage, until
from tests.crash.world import SPEND, write

HOUR = 3600
OFF = [HOUR, -HOUR]


@pytest.mark.parametrize("ahead", OFF)
def test_a_worker_whose_clock_is_an_hour_off_does_all_its_work(stage: Stage, ahead: int) -> None:
    stage.set_clock(ahead)
    stage.start_worker()
    stage.assert_one_tick_catches_up()


def test_control_tasks_that_expire_after_a_minute_are_dropped_by_a_worker_ahead(stage: Stage) -> None:
    before = stage.books()
    stage.set_clock(HOUR)
    stage.start_worker()

    assert set(stage.tick(expires=60)) == {"EXPIRED"}
    assert stage.books() == before


def test_a_task_that_no_worker_takes_for_a_day_is_dropped(stage: Stage) -> None:
    stage.set_clock(25 * HOUR)
    stage.start_worker()
    assert stage.wait_for(stage.send("track_spend")) == ["EXPIRED"]

    stage.set_clock(23 * HOUR)
    assert stage.wait_for(stage.send("track_spend")) == ["SUCCESS"]


@pytest.mark.parametrize("ahead", OFF)
def test_a_hint_of_new_spend_reaches_a_worker_whose_clock_is_an_hour_off(stage: Stage, ahead: int) -> None:
    stage.set_clock(ahead)
    stage.start_worker()

    done = stage.manage("import_spend", str(stage.folder / "late.csv"))

    assert done.stdout.splitlines()[-1] == "accepted=2460 waiting=0 duplicate=0 refused=0", done
    until(lambda: stage.asked(TRACKED))


@pytest.mark.parametrize("ahead", OFF)
def test_what_comes_after_the_clock_is_corrected_is_settled_as_ever(stage: Stage, ahead: int) -> None:
    """Refunds then take back coupons that are issued an hour from now, and payments top up what was granted then."""
    stage.set_clock(ahead)
    stage.start_worker()
    stage.tick()
    stage.set_clock(0)
    stage.manage("import_spend", str(stage.folder / "late.csv"))

    assert set(stage.tick()) == {"SUCCESS"}

    assert stage.faults() == ""
    assert stage.books() == stage.undisturbed(then="late.csv")


def test_spend_refused_by_a_clock_behind_goes_in_once_it_is_corrected(stage: Stage) -> None:
    spend = stage.folder / "of_today.csv"
    at = datetime.now(UTC) - timedelta(minutes=30)
    write(spend, SPEND, [("today", "f1", "payment", "ecs", "USD", "5", at.isoformat(), "")])

    stage.set_clock(-HOUR)
    assert stage.run_by_its_clock("import_spend", str(spend)) == "accepted=0 waiting=0 duplicate=0 refused=1"
    stage.set_clock(0)
    assert stage.run_by_its_clock("import_spend", str(spend)) == "accepted=1 waiting=0 duplicate=0 refused=0"
