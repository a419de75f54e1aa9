"""A database of the bench's own on the configured server, gone at the end however the bench ends."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from psycopg2 import sql

from referral_site.embedded import uninterrupted

SUFFIX = "_bench_"
# With the database's name: the advisory lock of a bench that is alive.
LOCK_CLASS = 20260103


class UnableToMakeScratchDatabase(Exception):
    """The server does not let us make a database; the message says why. `code` is `scratch`."""

    code = "scratch"


@contextmanager
def scratch_database() -> Iterator[str]:
    """Make an empty database, let Django's connection lead to it, and drop it; yield its name.

    What a bench that was killed has left is dropped first. Raises UnableToMakeScratchDatabase.
    """
    home = str(connection.settings_dict["NAME"])
    name = f"{home[:40]}{SUFFIX}{secrets.token_hex(4)}"
    # A second connection stays at home: nobody can drop the database that they are in.
    keeper = connection.copy()
    try:
        _drop_left_behind(keeper, home)
        try:
            _create(keeper, name)
            connect_to(name)
            yield name
        finally:
            with uninterrupted():
                connect_to(home)
                _drop(keeper, name)
    finally:
        keeper.close()


def migrate() -> None:
    """Give the scratch database the product's tables."""
    call_command("migrate", verbosity=0)


def connect_to(name: str) -> None:
    """Let Django's connection lead to the database `name` of the same server."""
    connection.close()
    connection.settings_dict["NAME"] = name
    settings.DATABASES["default"]["NAME"] = name


def url_of(database: Mapping[str, Any]) -> str:
    """Return the settings of a database as a DATABASE_URL; a host may stand among its options too."""
    options = database.get("OPTIONS", {})
    host, port = database["HOST"], database["PORT"]
    among_options = urlencode({name: options[name] for name in ("host", "port") if name in options})
    if not (host or among_options):
        host = "localhost"
    server = f"/{host}" if host.startswith("/") else f"{host}:{port}" if port else host
    holder = f"{quote(database['USER'], safe='')}:{quote(database['PASSWORD'], safe='')}"
    return f"postgres://{holder}@{server}/{database['NAME']}{among_options and f'?{among_options}'}"


def _create(keeper: Any, name: str) -> None:
    with keeper.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [LOCK_CLASS, name])
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except DatabaseError as fault:
            raise UnableToMakeScratchDatabase(f"No scratch database: {fault}") from fault


def _drop(keeper: Any, name: str) -> None:
    with keeper.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_left_behind(keeper: Any, home: str) -> None:
    """Drop the scratch databases whose bench holds its lock no longer."""
    with keeper.cursor() as cursor:
        cursor.execute(
            """
            SELECT datname FROM pg_database
            WHERE starts_with(datname, %(prefix)s) AND substr(datname, length(%(prefix)s) + 1) ~ '^[0-9a-f]{8}$'
              AND CASE WHEN datname <> current_database() THEN pg_try_advisory_lock(%(class)s, hashtext(datname)) END
            """,
            {"prefix": f"{home[:40]}{SUFFIX}", "class": LOCK_CLASS},
        )
        for (name,) in cursor.fetchall():
            _drop(keeper, name)
            cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LOCK_CLASS, name])
