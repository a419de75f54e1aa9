"""The product as processes of its own: commands with a data directory, or settings, of their own."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
# Seconds.
LONGEST_COMMAND = 60
# What every process inherits; of the settings, none.
INHERITED = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}


def environment(**settings: str) -> dict[str, str]:
    """An environment with these settings and no others."""
    return INHERITED | {"REFERRAL_DURABLE": "0"} | settings


def manage(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run manage.py to its end under these settings."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=LONGEST_COMMAND,
        check=False,
    )


def start(*arguments: str, **settings: str) -> "subprocess.Popen[str]":
    """Start manage.py under these settings, as a terminal does: in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Whether the site's first page comes within the time that a command may take."""
    deadline = time.monotonic() + LONGEST_COMMAND
    while time.monotonic() < deadline:
        with (
            suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=3) as answer,
        ):
            return bool(answer.status == 200)
        time.sleep(0.1)
    return False


def processes_on(folder: Path) -> list[str]:
    """Every living process that names the data directory in its arguments or environment."""
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(folder) in text for text in named):
                found.append(" ".join(process.cmdline()))
    return found
