"""The API against its own schema: schemathesis asks the running server what the schema allows, and what not.

It reads the schema from the server: a call that is added is asked too. The tests give it what there is to find.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings

from accounts.models import ApiKey, User
from accounts.operations import create_api_key
from referral_site.api import api
from referral_site.bench.served import free_port, wait_until_served
from referrals.operations import settle
from tests.conftest import ROOT
from tests.database import database_url
from tests.facts import NOW, day, fact, record, register

pytestmark = pytest.mark.django_db(transaction=True)

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
# Requests a call that schemathesis makes up, besides those by which it covers each border of the schema.
MADE_UP = 1000 if IS_LONG else 25
ALL = "examples,coverage,fuzzing,stateful"
# Where nothing that is asked is looked at.
FEW = ALL if IS_LONG else "examples,fuzzing"
# Seconds.
LONGEST_RUN = 3600 if IS_LONG else 240


@pytest.fixture
def accounts() -> User:
    """Accounts of the names that the schema has as examples: a friend with spend and credit, and the referrer."""
    alice = register("acct-1")
    bob = register("acct-7", referred_by=alice)
    record(fact(bob, "pay-1", "25.00", day(1, 5)))
    settle(as_of=NOW, now=NOW)
    return bob


@pytest.fixture
def server(accounts: User) -> Iterator[str]:
    """The address of the site on granian, as `manage.py run` has it, on the tests' database."""
    port = free_port()
    command = ["--interface", "wsgi", "--port", str(port), "--workers", "1", "--blocking-threads", "4"]
    servers = {"DATABASE_URL": database_url(), "REDIS_URL": str(settings.CACHES["default"]["LOCATION"])}
    running = subprocess.Popen(
        [sys.executable, "-m", "granian", *command, "--log-level", "warning", "referral_site.wsgi:application"],
        cwd=ROOT,
        env=os.environ | servers | {"API_CALLS_PER_MINUTE": "1000000"},
    )
    try:
        wait_until_served(port, running)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


class Finding(NamedTuple):
    """Whether schemathesis has nothing to complain of, and all that it says."""

    is_clean: bool
    words: str


def new_key(*scopes: str) -> str:
    return create_api_key(name="schemathesis", scopes=list(scopes), actor=None, now=NOW)[1]


def asked(server: str, folder: Path, key: str | None, *, phases: str = FEW, schema: str = "") -> Finding:
    """Let schemathesis ask all calls of the server's schema, or of another one in a file."""
    where = [schema, "--url", server] if schema else [f"{server}/api/v1/openapi.json"]
    command = ["run", *where, "--phases", phases, "--max-examples", str(MADE_UP), "--checks", "all", "--no-color"]
    # A fact of the right form may be refused all the same, as TERMS has it: that is a 422 with its code.
    command += ["--continue-on-failure", "--exclude-checks", "positive_data_acceptance"]
    command += ["--generation-database", "none"] if IS_LONG else ["--generation-deterministic"]
    command += ["--header", f"Authorization: Bearer {key}"] if key else []
    ended = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN,
        check=False,
    )
    return Finding(ended.returncode == 0, f"\n{ended.stdout}{ended.stderr}")


def assert_as_documented(finding: Finding) -> None:
    """Fail where an answer is none that the schema has, and where a call was left out."""
    calls = sum(len(path) for path in api.get_openapi_schema()["paths"].values())
    assert finding.is_clean, finding.words
    assert f"Selected: {calls}/{calls}\n  Tested: {calls}\n" in finding.words, finding.words


def test_a_key_of_every_scope_gets_documented_answers_alone(server: str, tmp_path: Path) -> None:
    finding = asked(server, tmp_path, new_key(*ApiKey.Scope.values), phases=ALL)
    assert_as_documented(finding)
    assert "Authentication failed" not in finding.words


def test_without_a_key_too(server: str, tmp_path: Path) -> None:
    assert_as_documented(asked(server, tmp_path, None))


def test_with_a_key_that_lacks_the_scope_too(server: str, tmp_path: Path) -> None:
    assert_as_documented(asked(server, tmp_path, new_key(ApiKey.Scope.ABUSE_WRITE)))


def test_an_answer_that_the_schema_does_not_have_is_found(server: str, tmp_path: Path) -> None:
    schema = api.get_openapi_schema()
    del schema["paths"]["/api/v1/spend-events"]["post"]["responses"][401]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    finding = asked(server, tmp_path, None, schema="schema.json")
    assert not finding.is_clean
    assert "Undocumented status code" in finding.words
