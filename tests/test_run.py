"""`manage.py run`, which is what `make run` runs."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.running import answers, free_port, manage, processes_on, start


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data directory for one run after the other."""
    with tempfile.TemporaryDirectory(prefix="run-", dir="/tmp") as name:
        yield Path(name)
        assert processes_on(Path(name)) == []


@contextmanager
def running(folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """The running demo; told to end by Ctrl-C at last, if nothing else ended it."""
    run = start("run", REFERRAL_DATA_DIR=str(folder), PORT=str(port), REFERRAL_DEMO="1")
    try:
        assert answers(port), f"exit code {run.poll()}"
        yield run
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGINT)
            run.communicate(timeout=30)


def child(folder: Path, name: str) -> psutil.Process:
    """The running child whose arguments contain `name`."""
    found = [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if name in (process.info["cmdline"] or []) and process.environ().get("REFERRAL_RUN") == str(folder)
    ]
    return min(found, key=lambda process: process.create_time())


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be collected does not."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_answers_names_the_logins_and_leaves_no_process(folder: Path, number: signal.Signals) -> None:
    port = free_port()
    with running(folder, port) as run:
        # The first is Ctrl-C and the last a closed terminal; both reach the whole group.
        os.killpg(run.pid, number)
        said, _ = run.communicate(timeout=30)

    assert run.returncode == 0, said
    assert f"http://127.0.0.1:{port}/" in said
    assert all(f"{who}@example.com" in said for who in ("referrer", "friend", "staff"))
    assert "refer-a-friend" in said
    assert "Traceback" not in said, said
    assert processes_on(folder) == []


def test_a_later_start_answers_within_ten_seconds(folder: Path) -> None:
    began = time.monotonic()
    with running(folder, free_port()):
        took = time.monotonic() - began

    assert took < 10


def test_a_taken_port_is_one_line_that_names_the_setting(tmp_path: Path) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        run = manage("run", REFERRAL_DATA_DIR=str(tmp_path), PORT=str(port))

    assert run.returncode == 1
    assert run.stderr == (
        f"CommandError: 127.0.0.1:{port} cannot be used (Address already in use): "
        f"set PORT to a free port, as in PORT={port + 1} make run\n"
    )
    assert not (tmp_path / "postgres").exists()


def test_a_second_run_on_the_same_directory_is_refused(folder: Path) -> None:
    with running(folder, free_port()) as first:
        second = manage("run", REFERRAL_DATA_DIR=str(folder), PORT=str(free_port()))

        assert second.returncode == 1
        assert "REFERRAL_DATA_DIR" in second.stderr
        assert first.poll() is None


def test_after_a_killed_run_the_next_one_works_on_the_same_port(folder: Path) -> None:
    port = free_port()
    with running(folder, port) as killed:
        killed.kill()
        killed.wait()
        assert processes_on(folder)

        left = child(folder, "granian")
        with running(folder, port) as run:
            # What answered first may have been what the killed run left.
            while lives(left):
                time.sleep(0.1)
            assert answers(port)
            assert run.poll() is None

    assert processes_on(folder) == []


@pytest.mark.parametrize("name", ["granian", "worker", "beat"])
def test_a_child_that_dies_ends_the_run_with_its_code(folder: Path, name: str) -> None:
    with running(folder, free_port()) as run:
        child(folder, name).kill()
        run.communicate(timeout=30)

    assert run.returncode == 256 - signal.SIGKILL
    assert processes_on(folder) == []


def test_mail_of_the_demo_is_a_file(folder: Path) -> None:
    send = "from django.core.mail import send_mail; send_mail('Hello', '', None, ['alice@example.com'])"
    manage("shell", "--command", send, REFERRAL_DATA_DIR=str(folder))

    (mail,) = (folder / "mail").iterdir()
    assert "Subject: Hello" in mail.read_text()
