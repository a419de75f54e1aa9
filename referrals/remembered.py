"""What a process remembers for a few seconds, in its own memory: Django's caches write even that down and read it."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakSet

KnownT = TypeVar("KnownT")

# A link with its pages takes some 40 kB.
MOST = 2_000


class Remembered(Generic[KnownT]):
    """What `look_up` found out about a key, for `seconds`."""

    everywhere: "WeakSet[Remembered[object]]" = WeakSet()

    def __init__(self, look_up: Callable[[str], KnownT], *, seconds: float) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._kept: dict[str, tuple[float, KnownT]] = {}
        self.everywhere.add(self)  # type: ignore[arg-type]

    def get(self, key: str) -> KnownT:
        """Return what is known of a key; looked up where that is too old: by one thread, while others take the old."""
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        if kept is not None:
            self._kept[key] = (now + self._seconds, kept[1])
        found = self._look_up(key)
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = (now + self._seconds, found)
        return found

    @classmethod
    def forget_all(cls) -> None:
        """Forget what is remembered, whatever it is: for tests, each of which has a database of its own."""
        for one in cls.everywhere:
            one._kept.clear()
