"""What tests that commit do with the database as a whole."""

from __future__ import annotations

import pgtrigger
from django.db import connection

from referral_site.bench.scratch import url_of
from tests import pristine

__all__ = ["database_url", "empty_database", "url_of"]


def empty_database() -> None:
    """Return to what the migrations left: the catalogue and the first terms, and nothing else."""
    with pgtrigger.ignore():
        pristine.restore(connection)


def database_url() -> str:
    """Return the tests' database as a DATABASE_URL, for a process of its own."""
    return url_of(connection.settings_dict)
