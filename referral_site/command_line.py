"""What surrounds every management command: the embedded servers, a migrated database, a clean end."""

import fcntl
import signal
import sys
from types import FrameType

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command, execute_from_command_line
from django.db import connection

from referral_site import embedded

# These need no server, or start them themselves.
WITHOUT_SERVERS = {"", "--help", "-h", "--version", "version", "help", "check", "diffsettings", "collectstatic", "run"}
# These run on a database that is still empty.
ON_EMPTY_DATABASE = {"migrate", "makemigrations", "test"}


def run_command(argv: list[str]) -> None:
    """Run the command that `argv` names; the servers that it started stop with it."""
    command = argv[1] if len(argv) > 1 else ""
    end_on_termination()
    try:
        if command not in WITHOUT_SERVERS:
            embedded.start(settings.EMBEDDED)
        if command not in WITHOUT_SERVERS | ON_EMPTY_DATABASE:
            migrate_if_new()
        execute_from_command_line(argv)
    except (ImproperlyConfigured, embedded.UnableToStartServer) as fault:
        sys.exit(f"{command}: {fault}")


def migrate_if_new() -> None:
    """Migrate the embedded database if nobody ever did to the end, so that a command run alone on a new one works."""
    migrated = settings.DATA_DIR / "postgres" / "migrated"
    if not settings.EMBEDDED.postgres or migrated.exists():
        return
    django.setup()
    with (settings.DATA_DIR / "migrating.lock").open("w") as lock:
        # Two first commands at once: the second waits, and finds it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not migrated.exists():
            call_command("migrate", verbosity=0)
            # A fork must not inherit the connection.
            connection.close()
            migrated.touch()


def end_on_termination() -> None:
    """End by SystemExit on SIGTERM and SIGHUP (a closed terminal), so that the servers are stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def end(number: int, frame: FrameType | None) -> None:
    """Exit as a shell reports a process that the signal `number` ended."""
    raise SystemExit(128 + number)
