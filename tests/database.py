"""What tests that commit do with the database as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import pgtrigger
from django.db import connection

from tests import pristine


def empty_database() -> None:
    """Return to what the migrations left: the catalogue and the first terms, and nothing else."""
    with pgtrigger.ignore():
        pristine.restore(connection)


def database_url() -> str:
    """Return the tests' database as a DATABASE_URL, for a process of its own."""
    return url_of(connection.settings_dict)


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
