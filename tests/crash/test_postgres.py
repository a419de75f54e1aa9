"""Postgres stopped as a crash stops it: what was committed is there, what was not is undone, and nobody is confused."""

from __future__ import annotations

from tests.crash.staging import Stage

IN_SECOND_CHUNK = "count(*) > 2500 FROM referrals_reward"
AFTER_FIRST_CHUNK = 2080
IN_THIRD_CHUNK = "lines_done > 1100 FROM accounts_importrun ORDER BY id DESC LIMIT 1"
LATE = "accepted=2460 waiting=0 duplicate=0 refused=0"


def test_postgres_stopped_in_the_middle_of_a_settlement(stage: Stage) -> None:
    worker = stage.start_worker()
    with stage.gate(after="referrals_reward", when=IN_SECOND_CHUNK) as gate:
        paying = stage.send("pay_referrers")
        gate.wait()
        stage.break_postgres_off()
    assert stage.wait_for(paying) == ["FAILURE"]
    assert stage.wait_for(stage.send("track_spend")) == ["FAILURE"]
    stage.postgres.start()
    assert stage.count("referrals_reward") == AFTER_FIRST_CHUNK
    assert stage.faults() == ""

    stage.assert_one_tick_catches_up()
    assert worker.is_alive()


def test_postgres_stopped_in_the_middle_of_an_import(stage: Stage) -> None:
    command = ["import_spend", str(stage.folder / "late.csv"), "--chunk-size", "500"]
    worker = stage.start_worker()
    stage.tick()
    with stage.gate(after="accounts_importrun", when=IN_THIRD_CHUNK) as gate:
        importing = stage.launch("manage.py", *command)
        gate.wait()
        stage.break_postgres_off()
    assert importing.process.wait() == 1
    stage.postgres.start()
    assert stage.count("billing_spendevent WHERE event_id ~ '^[lm]'") == 1000
    assert stage.faults() == ""

    again = stage.manage(*command)
    assert (again.returncode, again.stdout) == (0, f"{LATE}\n"), again

    assert set(stage.tick()) == {"SUCCESS"}
    assert worker.is_alive()
    assert stage.faults() == ""
    assert stage.books() == stage.undisturbed(then="late.csv")
