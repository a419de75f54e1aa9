"""The broker holds nothing that matters: emptied, killed or down, it costs time only."""

from __future__ import annotations

import pytest

from tests.crash.staging import TRACKED, Stage, until

SWEEPS = ["pay_referrers", "pay_bonuses", "expire_coupons", "claw_back"]


def test_the_broker_emptied_with_tasks_queued(stage: Stage) -> None:
    stage.send(*SWEEPS)
    stage.broker().flushall()
    worker = stage.start_worker()
    assert stage.wait_for(stage.send("discard_unconfirmed")) == ["SUCCESS"]
    assert len(stage.ended()) == 1, "the others are lost"

    stage.assert_one_tick_catches_up()
    assert worker.is_alive()


def test_the_broker_emptied_while_tasks_run(stage: Stage) -> None:
    worker = stage.start_worker()
    with stage.gate(after="referrals_reward", when="true") as gate:
        (paying,) = stage.send("pay_referrers")
        gate.wait()
        stage.send(*SWEEPS)
        stage.broker().flushall()
        gate.open()
    assert stage.wait_for([paying]) == ["SUCCESS"]

    stage.assert_one_tick_catches_up()
    assert worker.is_alive()


@pytest.mark.parametrize("jobs", [["pay_referrers"], ["pay_referrers", "pay_bonuses"]], ids=["one", "all"])
def test_the_broker_killed_while_the_worker_is_busy(stage: Stage, jobs: list[str]) -> None:
    """The worker then has a task for which it has no answer to give, or two, which is all that it takes at once."""
    worker = stage.start_worker()
    with stage.gate(after="referrals_reward", when="true") as gate:
        stage.send(*jobs)
        gate.wait(users=len(jobs))
        stage.kill_broker()
        gate.open()
    stage.wait_until_nobody_is_connected()
    stage.valkey.start()

    stage.assert_one_tick_catches_up()
    assert worker.is_alive()


def test_control_celerys_own_consumer_ends_with_the_broker(stage: Stage) -> None:
    worker = stage.start_worker(without="consumer")
    with stage.gate(after="referrals_reward", when="true") as gate:
        stage.send("pay_referrers")
        gate.wait()
        stage.kill_broker()
    until(lambda: not worker.is_alive())


def test_the_broker_killed_and_started_again_under_worker_and_beat(stage: Stage) -> None:
    worker, beat = stage.start_worker(), stage.start_beat()
    stage.wait_for(stage.let_beat_send("track_spend"))
    stage.kill_broker()
    stage.valkey.start()

    for sweep in SWEEPS:
        stage.wait_for(stage.let_beat_send(sweep))

    assert worker.is_alive()
    assert beat.is_alive()
    assert stage.faults() == ""
    assert stage.books() == stage.undisturbed()


def test_the_broker_down_while_spend_comes_in(stage: Stage) -> None:
    worker = stage.start_worker()
    stage.tick()
    stage.valkey.stop()
    done = stage.manage("import_spend", str(stage.folder / "late.csv"))
    assert (done.returncode, done.stdout) == (0, "accepted=2460 waiting=0 duplicate=0 refused=0\n"), done
    stage.valkey.start()
    assert not stage.asked(TRACKED)

    assert set(stage.tick()) == {"SUCCESS"}

    assert worker.is_alive()
    assert stage.faults() == ""
    assert stage.books() == stage.undisturbed(then="late.csv")
