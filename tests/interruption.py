"""Imports that are killed on the way, by SIGKILL, in a process of their own."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from django.core.management import call_command
from django.db import connection

STOP = """
CREATE FUNCTION stop_before_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.lines_done >= tg_argv[0]::bigint THEN
        PERFORM pg_sleep(60);
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER stop_before_line BEFORE UPDATE ON accounts_importrun
FOR EACH ROW EXECUTE FUNCTION stop_before_line('{line}')
"""
GO_ON = "DROP TRIGGER stop_before_line ON accounts_importrun; DROP FUNCTION stop_before_line()"
ASLEEP = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
LONGEST_WAIT = 30


def interrupt(command: str, path: Path, *options: object, before_line: int) -> None:
    """Run the import in another process; kill it within the transaction that would move its run to `before_line`."""
    with stopped_before(before_line):
        connection.close()  # a connection must not be shared with a child
        child = os.fork()
        if not child:
            run_to_the_end(command, path, *options)
        session = wait_until_asleep()
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        # The server notices at the end of the sleep only that nobody listens any more.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [session])


def run_to_the_end(command: str, *arguments: object) -> None:
    """Be the child: never return to the test."""
    try:
        with Path(os.devnull).open("w") as nowhere:
            call_command(command, *arguments, stdout=nowhere)
    finally:
        os._exit(0)


@contextmanager
def stopped_before(line: int) -> Iterator[None]:
    """Let no run of an import come to this line."""
    with connection.cursor() as cursor:
        cursor.execute(STOP.format(line=line))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(GO_ON)


def wait_until_asleep() -> int:
    """Wait until the child has come to where it is stopped; return its session's pid."""
    deadline = monotonic() + LONGEST_WAIT
    while monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(ASLEEP)
            if found := cursor.fetchone():
                return int(found[0])
        sleep(0.02)
    raise AssertionError("The import does not come to the line.")
