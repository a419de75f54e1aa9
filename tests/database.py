"""What tests that commit do with the database as a whole."""

from __future__ import annotations

import pgtrigger
from django.db import connection

from tests import pristine


def empty_database() -> None:
    """Return to what the migrations left: the catalogue and the first terms, and nothing else."""
    with pgtrigger.ignore():
        pristine.restore(connection)


def database_url() -> str:
    """Return the tests' database as a DATABASE_URL, for a process of its own."""
    database = connection.settings_dict
    host, port = database["HOST"] or "localhost", database["PORT"]
    server = f"/{host}" if host.startswith("/") else f"{host}:{port or 5432}"
    return f"postgres://{database['USER']}:{database['PASSWORD']}@{server}/{database['NAME']}"
