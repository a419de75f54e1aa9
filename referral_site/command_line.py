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
    """Migrate the embedded database if nobody ever did, so that a command run alone on a fresh machine works."""
    if not settings.EMBEDDED.postgres:
        return
    django.setup()
    if has_tables():
        return
    with (settings.DATA_DIR / "migrating.lock").open("w") as lock:
        # Two first commands at once: the second waits, and finds the tables.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not has_tables():
            call_command("migrate", verbosity=0)


def has_tables() -> bool:
    """Whether the database was migrated, at least in part. Leaves no connection open that a fork could inherit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
        (found,) = cursor.fetchone()
    connection.close()
    return bool(found)


def end_on_termination() -> None:
    """End by SystemExit on SIGTERM and SIGHUP (a closed terminal), so that the servers are stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def end(number: int, frame: FrameType | None) -> None:
    """Exit as a shell reports a process that the signal `number` ended."""
    raise SystemExit(128 + number)
