"""Clients that work at once: processes, as web workers are, which have connected before the clock starts."""

import multiprocessing
from collections.abc import Callable
from threading import BrokenBarrierError

from django.db import connection

# Seconds until clients that do not come to an end are given up.
LONGEST_WAIT = 3600


class UnableToRunCrowd(Exception):
    """A client failed; its traceback stands above. `code` is `client`."""

    code = "client"


class Crowd:
    """Clients that wait at the gate, so that neither their start nor their end is measured.

    Each does `work` once, told its number from 0 and whether it is the raw side's turn.
    """

    def __init__(self, *, clients: int, work: Callable[[int, bool], None]) -> None:
        # A connection must not cross the fork.
        connection.close()
        fork = multiprocessing.get_context("fork")
        self._work = work
        self._raw = fork.Value("b", 0)
        self._start = fork.Barrier(clients + 1)
        self._end = fork.Barrier(clients + 1)
        self._clients = [fork.Process(target=self._serve, args=(number,), daemon=True) for number in range(clients)]
        for client in self._clients:
            client.start()

    def run(self, *, raw: bool) -> None:
        """Open the gate, and wait until every client has done its work. Raises UnableToRunCrowd."""
        self._raw.value = raw
        try:
            self._start.wait(LONGEST_WAIT)
            self._end.wait(LONGEST_WAIT)
        except BrokenBarrierError as fault:
            raise UnableToRunCrowd("A client of the bench did not come to its end.") from fault

    def _serve(self, number: int) -> None:
        try:
            connection.ensure_connection()
            self._start.wait(LONGEST_WAIT)
            self._work(number, bool(self._raw.value))
            self._end.wait(LONGEST_WAIT)
        except BaseException:
            self._start.abort()
            self._end.abort()
            raise
        finally:
            connection.close()
