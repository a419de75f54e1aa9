"""A Postgres and a Valkey that start by themselves where DATABASE_URL or REDIS_URL is unset.

Addresses are computed without starting anything. A process that needs the servers joins their users (`start`): it
holds a shared lock on one file, which the kernel drops however the process ends. Whoever leaves and then gets the lock
exclusively was the last one, and stops the servers. Joining and leaving are serialised by a second lock, so nobody
joins servers that are being stopped.
"""

import fcntl
import hashlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO, Any, Protocol

# A socket's address holds 107 bytes on Linux and 103 on macOS; the longest name in the directory is Postgres's.
LONGEST_SOCKET_PATH = 103
POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"


class Server(Protocol):
    """One embedded server."""

    def start(self) -> None:
        """Start it unless it answers already. Raises UnableToStartServer."""

    def stop(self) -> None:
        """Stop it, its data safe on disk; nothing to do when it does not run."""


class UnableToStartServer(Exception):
    """An embedded server does not answer; the message ends with its log."""


@dataclass(frozen=True)
class Servers:
    """Which servers are embedded, and where they keep their data.

    `durable` false gives up safety against a crash of the machine for speed: tests only.
    """

    data_dir: Path
    postgres: bool
    valkey: bool
    durable: bool = True

    @property
    def sockets(self) -> Path:
        """The directory of the sockets: in the data directory, or a short one where that path is too long."""
        inside = self.data_dir / "sockets"
        fits = len(os.fsencode(inside / POSTGRES_SOCKET)) <= LONGEST_SOCKET_PATH
        if fits and re.fullmatch(r"[\w./+-]+", str(inside), re.ASCII):
            return inside
        return Path("/tmp") / f"referral-{hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]}"  # noqa: S108

    def database(self) -> dict[str, Any]:
        """The embedded Postgres as an entry of Django's DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": str(self.sockets),
            "PORT": "5432",
        }

    def redis_url(self) -> str:
        """The address of the embedded Valkey."""
        return f"unix://{self.sockets / VALKEY_SOCKET}"

    def embedded(self) -> list[Server]:
        """The servers to start, in that order."""
        # Imported only where a server is embedded: production needs none of it.
        from referral_site.embedded.postgres import Postgres
        from referral_site.embedded.valkey import Valkey

        servers: list[Server] = []
        if self.postgres:
            servers.append(Postgres(data=self.data_dir / "postgres", sockets=self.sockets, durable=self.durable))
        if self.valkey:
            servers.append(
                Valkey(data=self.data_dir / "valkey", socket=self.sockets / VALKEY_SOCKET, durable=self.durable)
            )
        return servers


class Users:
    """The processes that use the servers of one data directory."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.lock: IO[str] | None = None
        self.pid = 0

    def join(self) -> None:
        """Become a user, and start what does not run yet. Raises UnableToStartServer."""
        if self.pid == os.getpid():
            return
        self.servers.data_dir.mkdir(parents=True, exist_ok=True)
        with self.alone():
            self.lock = (self.servers.data_dir / "users.lock").open("w")
            fcntl.flock(self.lock, fcntl.LOCK_SH)
            self.pid = os.getpid()
            # Finalize and not atexit: it also runs at the end of a multiprocessing child, and never in a fork of ours.
            Finalize(None, self.leave, exitpriority=-100)
            for server in self.servers.embedded():
                server.start()

    def leave(self) -> None:
        """Be a user no longer; the last one stops the servers."""
        assert self.lock is not None
        with uninterrupted(), self.alone():
            if self.was_last():
                for server in reversed(self.servers.embedded()):
                    server.stop()
            self.lock.close()
            self.pid = 0

    def was_last(self) -> bool:
        """Whether nobody else holds the users' lock; our own is given up either way."""
        assert self.lock is not None
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the other processes that join or leave, and keep them out."""
        with (self.servers.data_dir / "starting.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let an impatient second Ctrl-C or SIGTERM leave nothing behind that was being cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_users: dict[Path, Users] = {}


def start(servers: Servers) -> None:
    """Make the embedded servers run for as long as this process does. Raises UnableToStartServer."""
    if servers.postgres or servers.valkey:
        _users.setdefault(servers.data_dir, Users(servers)).join()
