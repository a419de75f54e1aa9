"""The product's Celery app as the crash tests start it, in a worker or beat of its own:

    python -m celery --app tests.crash.launched worker

and, for its clock, a management command:

    python -m tests.crash.launched import_spend FILE

What it does besides: it writes into the file CRASH_JOURNAL which process begins and ends which task; its clock is as
many seconds off as the file CRASH_CLOCK says, and follows that; a message unacknowledged for CRASH_VISIBILITY seconds
is delivered again. For the controls it takes out the safety that CRASH_WITHOUT names.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import time_machine
from celery.signals import beat_init, task_postrun, task_prerun, task_revoked, worker_init, worker_process_init

from referral_site.celery import app
from referral_site.command_line import run_command

JOURNAL = Path(os.environ["CRASH_JOURNAL"])
CLOCK = Path(os.environ["CRASH_CLOCK"])
WITHOUT = os.environ.get("CRASH_WITHOUT", "")


def write(*words: object) -> None:
    """Add a line to the journal, whole: several processes write it."""
    with JOURNAL.open("ab", buffering=0) as journal:
        journal.write((" ".join(str(word) for word in words) + "\n").encode())


class Clock:
    """This process's clock, which is off by what the file says."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.travel: time_machine.travel | None = None

    def follow(self) -> None:
        """Be off by what the file says, now and from now on. A thread does not survive a fork: call it there again."""
        self.set()
        threading.Thread(target=self.go_on, daemon=True).start()

    def go_on(self) -> None:
        while True:
            time.sleep(0.02)
            self.set()

    def set(self) -> None:
        ahead = float(CLOCK.read_text())
        if ahead != self.ahead:
            if self.travel:
                self.travel.stop()
            self.travel = time_machine.travel(time.time() + ahead) if ahead else None
            if self.travel:
                self.travel.start()
            self.ahead = ahead
            write("clock", os.getpid(), ahead)


clock = Clock()
clock.follow()


@worker_process_init.connect
def follow_in_child(**signal: Any) -> None:
    write("clock", os.getpid(), clock.ahead)  # it has its parent's, which may have moved on before the fork
    clock.follow()


@beat_init.connect
def beats(**signal: Any) -> None:
    write("beats", os.getpid())


@task_prerun.connect
def began(task_id: str, task: Any, **signal: Any) -> None:
    write("began", task_id, os.getpid(), task.name)


@task_postrun.connect
def ended(task_id: str, state: str, **signal: Any) -> None:
    write("ended", task_id, os.getpid(), state)


@task_revoked.connect
def revoked(request: Any, expired: bool, **signal: Any) -> None:
    write("ended", request.id, os.getpid(), "EXPIRED" if expired else "REVOKED")


if seconds := os.environ.get("CRASH_VISIBILITY"):
    app.conf.broker_transport_options = app.conf.broker_transport_options | {
        "visibility_timeout": int(seconds),
        # Look each second, and each time.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
if WITHOUT == "redelivery":
    app.conf.update(task_acks_late=False, task_reject_on_worker_lost=False)
if WITHOUT == "consumer":
    app.conf.worker_consumer = "celery.worker.consumer:Consumer"


@worker_init.connect
def take_out(**signal: Any) -> None:
    """Take a safety out of this worker, before it forks."""
    from credits.operations import coupons
    from referrals.operations import settlement, settlement_sql

    def lock_nothing(*, customer_ids: list[int], skip_locked: bool = False) -> list[int]:
        return customer_ids

    if WITHOUT == "transaction":
        operation = settlement._settle_chunk
        settlement._settle_chunk = operation.__wrapped__.__wrapped__  # type: ignore[attr-defined]
    if WITHOUT == "locks":
        settlement.lock_accounts = lock_nothing  # type: ignore[assignment, attr-defined]
        settlement_sql.LOCK_DUE_REFERRALS = settlement_sql.LOCK_DUE_REFERRALS.replace("FOR NO KEY UPDATE", "")
        coupons.ISSUE = coupons.ISSUE.replace("ON CONFLICT (source) DO NOTHING", "")


if __name__ == "__main__":
    run_command(sys.argv)
