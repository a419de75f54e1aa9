"""Visits on their way to the database: summed in the process, counted in Valkey, taken out in batches.

A process sums its visits and hands the sums over about once a second, by a thread: a page never waits for Valkey, and
a Valkey that is down costs the visits of that second. There they stand in one hash, whose field ID names the batch from
its first visit on. A batch that is to be written is set aside under a second name, one at a time: an interrupted one is
found there and goes first. What a Valkey that has crashed brings back of a batch still has its id, by which the
database knows it.
"""

import logging
import os
import secrets
import threading
from collections import Counter
from contextlib import suppress
from datetime import date
from functools import cache
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

logger = logging.getLogger(__name__)

COUNTING = "visits:counting"
SET_ASIDE = "visits:set-aside"
ID = "id"
# Seconds between two handings over.
PAUSE = 1.0

DROP = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('UNLINK', KEYS[1]) end
return 0
"""


class Visit(NamedTuple):
    """What a visit counts for: a link by its pk, a day of UTC, a channel."""

    link_id: int
    day: date
    channel: str


class Batch(NamedTuple):
    """Visits that are set aside to be written, and the id by which that happens once."""

    batch_id: str
    visits: dict[Visit, int]


class Tally:
    """The visits of this process that are not handed over yet."""

    def __init__(self) -> None:
        self._sums: Counter[Visit] = Counter()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._pid = 0

    def count(self, visit: Visit) -> None:
        """Count a visit; it reaches Valkey within a second."""
        with self._lock:
            self._sums[visit] += 1
        if self._pid != os.getpid():
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    def hand_over(self) -> None:
        """Bring to Valkey what has been counted; lost where it is down, since nobody knows how much of it arrived."""
        with self._lock:
            sums, self._sums = self._sums, Counter()
        if not sums:
            return
        try:
            with client().pipeline() as pipeline:
                pipeline.hsetnx(COUNTING, ID, secrets.token_hex(16))
                for visit, number in sums.items():
                    pipeline.hincrby(COUNTING, _field(visit), number)
                pipeline.execute()
        except (RedisError, OSError) as fault:
            logger.warning("%d visits lost: %s", sums.total(), type(fault).__name__)

    def _start(self) -> None:
        self._pid = os.getpid()  # a fork has no thread of its parent
        threading.Thread(target=self._run, name="visits", daemon=True).start()
        # Not atexit, which the end of a web server's worker passes over.
        Finalize(None, self.hand_over, exitpriority=10)

    def _run(self) -> None:
        pause = threading.Event()
        while self._wake.wait():
            pause.wait(PAUSE)
            self._wake.clear()
            self.hand_over()


tally = Tally()


@cache
def client() -> Redis:
    """The server of the cache, with its short patience; asked once: a sum whose receipt is late may have been added."""
    server: dict[str, Any] = settings.CACHES["default"]
    options = {**server["OPTIONS"], "retry": Retry(NoBackoff(), 0)}
    return Redis.from_url(server["LOCATION"], decode_responses=True, **options)


def next_batch() -> Batch | None:
    """Return the batch that is set aside, else set aside what has been counted; None where there is nothing."""
    with suppress(ResponseError):  # nothing has been counted
        client().renamenx(COUNTING, SET_ASIDE)
    fields = {str(name): str(number) for name, number in client().hgetall(SET_ASIDE).items()}
    if not fields:
        return None
    batch_id = fields.pop(ID)
    return Batch(batch_id, {_visit(name): int(number) for name, number in fields.items()})


def drop(batch: Batch) -> None:
    """Let go of a batch that is written, and of no other that has taken its place."""
    client().eval(DROP, 1, SET_ASIDE, ID, batch.batch_id)


def _field(visit: Visit) -> str:
    return f"{visit.link_id} {visit.day.isoformat()} {visit.channel}"


def _visit(field: str) -> Visit:
    link_id, day, channel = field.split(" ")
    return Visit(int(link_id), date.fromisoformat(day), channel)
