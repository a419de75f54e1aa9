"""The embedded servers come and go with the processes that use them."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from referral_site.embedded import POSTGRES_SOCKET, Servers
from tests.running import manage, processes_on, start

# A command that uses both servers, says so, and stays until its standard input ends.
STAY = """
import sys
from django.core.cache import cache
from django.db import connection
connection.ensure_connection()
cache.set("asked", 1)
print("ready", flush=True)
sys.stdin.read()
"""
ASK = "from django.core.cache import cache; from billing.models import Product; print(Product.objects.count() > 40)"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data directory that one command has used before, so that the others start fast."""
    with tempfile.TemporaryDirectory(prefix="servers-", dir="/tmp") as name:
        assert asked(Path(name)) == "True\n"
        yield Path(name)
        assert processes_on(Path(name)) == []


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """A data directory that nobody has used. Not in pytest's own folder: every run of pytest closes that to others."""
    with tempfile.TemporaryDirectory(prefix="servers-", dir="/tmp") as name:
        yield Path(name)
        assert processes_on(Path(name)) == []


def asked(folder: Path) -> str:
    """What a command of its own answers, on the servers of `folder`."""
    command = manage("shell", "--verbosity", "0", "--command", ASK, REFERRAL_DATA_DIR=str(folder))
    assert command.returncode == 0, command.stderr
    return command.stdout


def staying(folder: Path) -> "subprocess.Popen[str]":
    """A command that uses the servers of `folder` until it is ended."""
    command = start("shell", "--verbosity", "0", "--command", STAY, REFERRAL_DATA_DIR=str(folder))
    assert command.stdout is not None
    said = command.stdout.readline()
    assert said == "ready\n", said + command.stdout.read()
    return command


def servers_on(folder: Path) -> list[str]:
    """The servers that run on `folder`."""
    return [line for line in processes_on(folder) if "/postgres -D" in line or "valkey-server" in line]


def pids_of_servers(folder: Path) -> list[int]:
    """The process ids in the servers' pid files."""
    files = (folder / "postgres" / "postmaster.pid", folder / "valkey" / "valkey.pid")
    return [int(path.read_text().split()[0]) for path in files]


def test_a_command_run_alone_starts_what_it_needs_and_stops_it(folder: Path) -> None:
    command = staying(folder)
    assert len(servers_on(folder)) == 2

    command.communicate()

    assert command.returncode == 0
    assert processes_on(folder) == []


def test_servers_listen_on_no_port(folder: Path) -> None:
    command = staying(folder)

    listening = [
        connection
        for pid in pids_of_servers(folder)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    command.communicate()

    assert listening == []


def test_the_last_of_two_users_stops_the_servers(folder: Path) -> None:
    first, second = staying(folder), staying(folder)
    servers = pids_of_servers(folder)

    first.communicate()
    assert pids_of_servers(folder) == servers
    assert len(servers_on(folder)) == 2

    second.communicate()
    assert processes_on(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_stops_the_servers(folder: Path, number: signal.Signals) -> None:
    command = staying(folder)

    os.killpg(command.pid, number)
    command.communicate()

    assert processes_on(folder) == []


def test_the_end_of_one_user_does_not_break_the_other_off(folder: Path) -> None:
    first, second = staying(folder), staying(folder)

    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert len(servers_on(folder)) == 2

    second.communicate()
    assert second.returncode == 0
    assert processes_on(folder) == []


def test_a_killed_user_leaves_servers_that_the_next_one_uses_and_stops(folder: Path) -> None:
    command = staying(folder)
    os.killpg(command.pid, signal.SIGKILL)
    command.communicate()
    assert len(servers_on(folder)) == 2

    assert asked(folder) == "True\n"

    assert processes_on(folder) == []


def test_killed_servers_start_again(folder: Path) -> None:
    command = staying(folder)
    for pid in (*pids_of_servers(folder), command.pid):
        os.kill(pid, signal.SIGKILL)
    command.communicate()

    assert asked(folder) == "True\n"

    assert processes_on(folder) == []


def test_a_pid_file_that_names_a_stranger_is_stale(folder: Path) -> None:
    # As after a crash of the machine: the number is another process's now, here ours.
    (folder / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder}/postgres\n")
    (folder / "valkey" / "valkey.pid").write_text(f"{os.getpid()}\n")

    assert asked(folder) == "True\n"

    assert processes_on(folder) == []


def test_a_cluster_that_was_made_halfway_is_made_anew(new_folder: Path) -> None:
    (new_folder / "postgres.new").mkdir()
    (new_folder / "postgres.new" / "PG_VERSION").write_text("18\n")

    assert asked(new_folder) == "True\n"


def test_commands_that_meet_on_a_new_directory_share_one_cluster(new_folder: Path) -> None:
    commands = [start("shell", "-v", "0", "-c", ASK, REFERRAL_DATA_DIR=str(new_folder)) for _ in range(3)]

    said = [command.communicate()[0] for command in commands]

    assert said == ["True\n"] * 3


@pytest.mark.parametrize("name", ["a-long-name" * 12, "with space, comma and 'quote'", "ünï"])
def test_a_directory_whose_path_no_socket_can_have(new_folder: Path, name: str) -> None:
    folder = new_folder / name
    sockets = Servers(data_dir=folder, postgres=True, valkey=True).sockets
    assert len(os.fsencode(sockets / POSTGRES_SOCKET)) < 108

    try:
        assert asked(folder) == "True\n"
    finally:
        for leftover in sockets.iterdir():
            leftover.unlink()
        sockets.rmdir()

    assert processes_on(folder) == []


def test_only_what_has_no_url_is_embedded(new_folder: Path) -> None:
    postgres_only = manage("migrate", "--plan", REFERRAL_DATA_DIR=str(new_folder), REDIS_URL="redis://localhost:1/0")

    assert postgres_only.returncode == 0, postgres_only.stderr
    assert (new_folder / "postgres").exists()
    assert not (new_folder / "valkey").exists()


def test_nothing_is_embedded_where_both_urls_are_set(tmp_path: Path) -> None:
    urls = {"DATABASE_URL": "postgres://nobody@localhost:1/nothing", "REDIS_URL": "redis://localhost:1/0"}

    command = manage("migrate", REFERRAL_DATA_DIR=str(tmp_path), **urls)

    assert "port 1 failed" in command.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"secrets"}
