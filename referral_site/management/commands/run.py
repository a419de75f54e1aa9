"""`manage.py run`: the whole product in one terminal."""

import fcntl
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from types import FrameType
from typing import Any

import psutil
from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from honcho.manager import Manager
from honcho.process import Process

from referral_site import embedded

DEMO_LOGINS = ("referrer@example.com", "friend@example.com", "staff@example.com")
# Names the data directory in the environment of every child, so that a run finds those that a killed run left.
MARK = "REFERRAL_RUN"
# Seconds until a child that was asked to end is killed.
LONGEST_END = 10


class Command(BaseCommand):
    help = "Start everything: servers, migrations, demo data (REFERRAL_DEMO=1), web, worker and beat. Ctrl-C stops it."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until Ctrl-C, SIGTERM, a closed terminal, or until a child ends: then with its exit code."""
        with only_run_here():
            end_children()
            refuse_taken_port()
            embedded.start(settings.EMBEDDED)
            self.prepare_database()
            self.greet()
            # A connection must not cross the fork of a child.
            connections.close_all()
            self.exit_with(run_children())

    def prepare_database(self) -> None:
        """Migrate, and load the demo where this is one."""
        call_command("migrate", verbosity=0)
        if settings.DEMO and "demo" in get_commands():
            call_command("demo", stdout=StringIO())

    def greet(self) -> None:
        """Say where the site is, and who can sign in."""
        self.stdout.write(f"\n  {settings.SITE_URL}/\n")
        if settings.DEMO:
            self.stdout.write(f"  Sign in as {', '.join(DEMO_LOGINS)}")
            self.stdout.write(f"  with the password {settings.DEMO_PASSWORD}\n")
        self.stdout.write("  Ctrl-C stops everything.\n\n")
        self.stdout.flush()

    def exit_with(self, code: int) -> None:
        """Exit with the code of the child that ended; having been told to stop is no failure."""
        if code not in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM):
            sys.exit(code % 256)


@contextmanager
def only_run_here() -> Iterator[None]:
    """Hold the data directory's run lock. Raises CommandError while another run holds it."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with (settings.DATA_DIR / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"It runs already on {settings.DATA_DIR}: set REFERRAL_DATA_DIR for another.") from None
        # A child that outlives a killed run must not keep its lock.
        os.register_at_fork(after_in_child=lock.close)
        yield


def refuse_taken_port() -> None:
    """Raise CommandError unless the address that the web server needs is free."""
    try:
        found = socket.getaddrinfo(settings.HOST, settings.PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CommandError(f"HOST is {settings.HOST!r}: that is no address.") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as fault:
            raise CommandError(
                f"{settings.HOST}:{settings.PORT} cannot be used ({fault.strerror}): set PORT to a free port, "
                f"as in PORT={settings.PORT % 65_535 + 1} make run"
            ) from None


def run_children() -> int:
    """Run web, worker and beat until one ends or we are told to stop, and return the exit code of the first to end."""
    manager = Manager()
    manager._process_ctor = Child
    environment = os.environ | {MARK: str(settings.DATA_DIR), "PYTHONUNBUFFERED": "1"}
    for name, command in children().items():
        manager.add_process(name, f"exec {shlex.join([sys.executable, *command])}", env=environment)
    run = os.getpid()

    def hang_up(number: int, frame: FrameType | None) -> None:
        # The children that honcho forks have this handler too: one signal is enough, and two meet in its output.
        if os.getpid() == run:
            os.kill(run, signal.SIGTERM)

    signal.signal(signal.SIGHUP, hang_up)
    try:
        manager.loop()
    finally:
        end_children()
    return manager.returncode or 0


class Child(Process):  # type: ignore[misc]  # honcho ships no types
    """A child that takes what it started with it: a killed web server would leave its workers behind."""

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Run it to its end, and pass its output on."""
        threading.Thread(target=self.end_group, daemon=True).start()
        super().run(events, ignore_signals)

    def end_group(self) -> None:
        """Wait until the child has ended, then kill what is left of its group."""
        while self._child is None:
            time.sleep(0.1)
        self._child.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)


def children() -> dict[str, list[str]]:
    """The arguments of Python for each child."""
    web = ["--interface", "wsgi", "--host", settings.HOST, "--port", str(settings.PORT), "--blocking-threads", "4"]
    # In a container one is root, and the demo is no place to be warned of it.
    celery = ["-W", "ignore:You're running the worker", "-m", "celery", "--app", "referral_site", "--quiet"]
    return {
        "web": ["-m", "granian", *web, "--log-level", "warning", "referral_site.wsgi:application"],
        "worker": [*celery, "worker", "--concurrency", "2", "--without-gossip", "--without-mingle"],
        "beat": [*celery, "beat", "--pidfile", ""],
    }


def end_children() -> None:
    """End the children of a run on this data directory, and wait until they are gone."""
    deadline = time.monotonic() + LONGEST_END
    told: set[int] = set()
    while left := list(marked_processes()):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                if time.monotonic() > deadline:
                    process.kill()
                elif process.pid not in told:
                    process.terminate()
                    told.add(process.pid)
        time.sleep(0.1)


def marked_processes() -> Iterator[psutil.Process]:
    """Every living process that carries the mark of this data directory."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(settings.DATA_DIR) and process.pid != os.getpid():
                yield process
