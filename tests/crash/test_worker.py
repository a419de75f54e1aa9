"""A worker that is killed loses nothing: what it had not finished is undone whole, and is due still."""

from __future__ import annotations

import pytest

from tests.crash.staging import Stage

# A settlement of all who are due a payout has three chunks of up to 1,000 customers. The world has 80 rewards already.
IN_FIRST_CHUNK = "true"
IN_SECOND_CHUNK = "count(*) > 2500 FROM referrals_reward"
AFTER_FIRST_CHUNK = 2080


def test_the_books_of_an_undisturbed_run_are_those_of_much_work(stage: Stage) -> None:
    """What the others are compared with: it has something of everything, and differs from what it began with."""
    books = stage.undisturbed()
    kinds = {coupon[1] for coupon in books.coupons}
    types = {entry[1] for entry in books.entries}

    assert stage.books() != books
    assert kinds == {"trial", "welcome", "payout", "bonus"}
    assert types == {"ISSUE", "REDEEM", "EXPIRE", "REVOKE"}
    assert {referral[2] for referral in books.referrals} >= {"paid", "clawed_back"}


def test_a_worker_killed_between_two_chunks(stage: Stage) -> None:
    worker = stage.start_worker()
    with stage.gate(after="referrals_reward", when=IN_FIRST_CHUNK) as gate:
        stage.send("pay_referrers")
        gate.wait()
        with stage.table_taken_behind("credits_creditaccount", gate):
            worker.kill()
    stage.wait_until_nobody_is_connected()
    assert stage.count("referrals_reward") == AFTER_FIRST_CHUNK
    assert stage.faults() == ""

    stage.start_worker()
    stage.assert_one_tick_catches_up()


@pytest.mark.parametrize(
    ("job", "writes", "when", "rewards"),
    [
        ("pay_referrers", "referrals_reward", IN_SECOND_CHUNK, AFTER_FIRST_CHUNK),
        ("claw_back", "referrals_clawback", IN_FIRST_CHUNK, 80),
        ("track_spend", "referrals_referral", IN_FIRST_CHUNK, 80),
    ],
)
def test_a_worker_killed_within_a_chunk(stage: Stage, job: str, writes: str, when: str, rewards: int) -> None:
    worker = stage.start_worker()
    with stage.gate(after=writes, when=when) as gate:
        stage.send(job)
        gate.wait()
        worker.kill()
    stage.wait_until_nobody_is_connected()
    assert stage.count("referrals_reward") == rewards
    assert stage.count("referrals_clawback") == 0
    assert stage.faults() == ""

    stage.start_worker()
    stage.assert_one_tick_catches_up()


def test_control_without_its_transaction_a_killed_worker_leaves_half_a_chunk(stage: Stage) -> None:
    worker = stage.start_worker(without="transaction")
    with stage.gate(after="referrals_clawback", when=IN_FIRST_CHUNK) as gate:
        stage.send("claw_back")
        gate.wait()
        worker.kill()
    stage.wait_until_nobody_is_connected()
    assert "failed=0" not in stage.faults()

    stage.start_worker()
    stage.tick()
    assert stage.books() != stage.undisturbed()
