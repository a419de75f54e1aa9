"""A recomputation that reads at once and writes late, while other spend comes and is tracked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from django.db import connection

from referrals.operations import tracking
from tests.facts import NOW
from tests.races.racing import LONGEST_WAIT, at_once, names, outside, until, waiting

WRITE_LATE = "FROM earned CROSS JOIN (SELECT pg_advisory_xact_lock(20260103)) AS a_gate\nWHERE"


def meanwhile(place: Any, recomputes: Callable[[], object], job: Callable[[], object]) -> None:
    """Let the first recomputation that `recomputes` asks for in the module `place` have read what there is; then do
    `job`, and let the recomputation write once that has ended, or waits for it too.
    """
    recompute, slow = tracking.recompute, tracking.RECOMPUTE.replace("FROM earned\n    WHERE", WRITE_LATE)
    assert slow != tracking.RECOMPUTE
    closed, reading, done = threading.Event(), threading.Event(), threading.Event()

    def keep_the_gate() -> None:
        with outside() as cursor:
            cursor.execute("SELECT pg_advisory_lock(20260103)")
            closed.set()
            until(lambda: done.is_set() or waiting() >= 2)

    def recompute_late() -> None:
        assert closed.wait(LONGEST_WAIT)
        recomputes()

    def recompute_slowly(*, referral_ids: list[int], now: object) -> None:
        if reading.is_set():
            recompute(referral_ids=referral_ids, now=NOW)
            return
        reading.set()
        with connection.cursor() as cursor:
            cursor.execute(slow, {"referrals": referral_ids, "now": NOW, "news": NOW})

    def come_later() -> None:
        until(lambda: reading.is_set() and waiting() >= 1)
        job()
        done.set()

    with patch.object(place, "recompute", recompute_slowly):
        assert names(at_once(keep_the_gate, recompute_late, come_later)) == ["done"] * 3
