"""The tests' database as an address: a process of its own gets the same one."""

import environ
import pytest

from tests.database import url_of


@pytest.mark.parametrize(
    "url",
    [
        "postgres://postgres:@//tmp/some/where/dev",
        "postgres://bob:secret@db.example:6543/dev",
        "postgres://bob:p%40ss%2Fword@db.example/dev",
        "postgres:///dev?host=/tmp/some/where&port=6543",
        "postgres:///dev?host=db.example",
    ],
)
def test_address_names_the_database_that_it_came_from(url: str) -> None:
    database = {"USER": "", "PASSWORD": "", "PORT": "", "HOST": ""} | environ.Env.db_url_config(url)
    assert {"OPTIONS": {}} | environ.Env.db_url_config(url_of(database)) == {"OPTIONS": {}} | database
