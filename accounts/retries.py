"""Deadlocks and serialization failures: the database undoes one of those that block each other, who begins anew."""

import logging
from collections import Counter
from collections.abc import Callable
from functools import wraps
from threading import Lock
from time import sleep
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

SQLSTATES = {"40P01": "deadlock", "40001": "serialization failure"}
MOST_TRIES = 6
FIRST_WAIT = 0.005
"""Seconds; each wait is twice the one before."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Conflicts:
    """How often each operation of this process was undone by the database, and ran again or gave up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, operation: str, kind: str, outcome: str) -> None:
        """Count one, and say so in the log: `kind` is one of SQLSTATES, `outcome` is retried or gave up."""
        with self._lock:
            self._counts[operation, kind, outcome] += 1
            so_far = self._counts[operation, kind, outcome]
        logger.warning("%s in %s: %s (%s so far in this process)", kind, operation, outcome, so_far)

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return the counts so far, by operation, kind and outcome."""
        with self._lock:
            return dict(self._counts)


conflicts = Conflicts()


def retried(operation: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run a whole operation again where the database has undone it for another's sake, a bounded number of times.

    Within a caller's transaction nothing is tried again: what the caller did before is undone too, and the caller's own
    operation begins anew. Stands outside the operation's `atomic`; its arguments must bear being read twice.
    """

    name = f"{operation.__module__}.{operation.__qualname__}"

    @wraps(operation)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        tries = 1 if connection.in_atomic_block else MOST_TRIES
        for done in range(1, tries + 1):
            try:
                return operation(*args, **kwargs)
            except OperationalError as fault:
                kind = conflict_kind(fault)
                if kind is None or connection.in_atomic_block:
                    raise
                conflicts.count(name, kind, "retried" if done < tries else "gave up")
                if done == tries:
                    raise
            sleep(FIRST_WAIT * 2 ** (done - 1))
        raise AssertionError("The last try returns or raises.")

    return run


def conflict_kind(fault: OperationalError) -> str | None:
    """Say which of SQLSTATES an error is; None for any other."""
    return SQLSTATES.get(getattr(fault.__cause__, "pgcode", None) or "")
