"""The stage of the crash tests: one set of servers and one world for all that a process of pytest runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.crash.staging import Stage
from tests.running import processes_on


@pytest.fixture(scope="session")
def opened_stage(django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    # Not in pytest's own folder: every run of pytest closes that to others, and Postgres may run as another user.
    with tempfile.TemporaryDirectory(prefix="crash-", dir="/tmp") as name, django_db_blocker.unblock():
        stage = Stage(Path(name))
        try:
            stage.open()
            stage.undisturbed()
            yield stage
        finally:
            stage.close()
        assert processes_on(Path(name)) == []


@pytest.fixture
def stage(opened_stage: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The world as it was, with no process on it."""
    opened_stage.end_all()
    opened_stage.begin()
    yield opened_stage
    opened_stage.end_all()
