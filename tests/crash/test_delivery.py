"""Tasks that are lost with the process that ran them, delivered twice, or not sent for days."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta

from tests.crash.staging import WAITING, Books, Stage, until
from tests.crash.world import FIRST_PAYOUT_DAY

IN_SECOND_CHUNK = "count(*) > 2500 FROM referrals_reward"
AFTER_FIRST_CHUNK, AFTER_ALL_CHUNKS = 2080, 5000
NOON = timedelta(hours=12)


def kill_the_child_in_the_second_chunk(stage: Stage) -> str:
    """Kill the process of the pool that pays the referrers, and it alone; return the task's id."""
    with stage.gate(after="referrals_reward", when=IN_SECOND_CHUNK) as gate:
        (task_id,) = stage.send("pay_referrers")
        gate.wait()
        (child,) = stage.runners(task_id)
        os.kill(child, signal.SIGKILL)
    return task_id


def test_a_pool_child_killed_within_a_chunk_has_its_task_done_by_another(stage: Stage) -> None:
    worker = stage.start_worker()

    paying = kill_the_child_in_the_second_chunk(stage)

    assert stage.wait_for([paying]) == ["SUCCESS"]
    assert len(set(stage.runners(paying))) == 2
    assert stage.count("referrals_reward") == AFTER_ALL_CHUNKS
    stage.assert_one_tick_catches_up()
    assert worker.is_alive()


def test_control_a_task_acknowledged_early_is_lost_with_the_pool_child(stage: Stage) -> None:
    stage.start_worker(without="redelivery")

    paying = kill_the_child_in_the_second_chunk(stage)

    stage.wait_until_nobody_is_connected()
    assert stage.wait_for(stage.send("discard_unconfirmed", "discard_unconfirmed")) == ["SUCCESS"] * 2
    assert len(stage.runners(paying)) == 1
    assert stage.queued() == 0
    assert stage.count("referrals_reward") == AFTER_FIRST_CHUNK


def deliver_twice(stage: Stage) -> None:
    """Let the payment of referrers be delivered again while it stands in its second chunk, and both come to an end."""
    with stage.gate(after="referrals_reward", when=IN_SECOND_CHUNK) as gate:
        (paying,) = stage.send("pay_referrers")
        until(lambda: len(set(stage.runners(paying))) == 2)
        until(lambda: stage.asked(WAITING) == 2)
        gate.open()
    until(lambda: stage.endings(paying) == ["SUCCESS", "SUCCESS"])


def test_a_task_delivered_twice_grants_once(stage: Stage) -> None:
    """By its visibility timeout, which is a second here; the first delivery is with a worker that is slow, not dead."""
    stage.start_worker(CRASH_VISIBILITY="1")

    deliver_twice(stage)

    assert stage.count("referrals_reward") == AFTER_ALL_CHUNKS
    stage.assert_one_tick_catches_up()


def test_control_without_locks_and_keys_a_task_delivered_twice_grants_twice(stage: Stage) -> None:
    with stage.cursor() as cursor:
        cursor.execute("ALTER TABLE referrals_reward DROP CONSTRAINT a_reward_is_granted_once")
        cursor.execute("ALTER TABLE credits_coupon DROP CONSTRAINT credits_coupon_source_key")
    stage.start_worker(without="locks", CRASH_VISIBILITY="1")

    deliver_twice(stage)

    assert stage.count("referrals_reward") > AFTER_ALL_CHUNKS
    assert "granted" in stage.faults()


def ticks(stage: Stage, *days: int) -> Books:
    """What comes of the world where there is one tick at noon of each of these days, counted from the first payouts."""
    stage.end_all()
    stage.begin()
    stage.start_worker()
    for day in days:
        at = FIRST_PAYOUT_DAY + NOON + timedelta(days=day)
        stage.set_clock((at - datetime.now(UTC)).total_seconds())
        assert set(stage.tick()) == {"SUCCESS"}
    assert stage.faults() == ""
    return stage.books()


def test_beat_down_for_three_days_is_made_up_for_by_one_run(stage: Stage) -> None:
    assert ticks(stage, 0) != ticks(stage, 0, 3) == ticks(stage, 0, 1, 2, 3)
