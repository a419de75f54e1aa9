"""The whole product, as `make run` starts it, with servers and data of its own; and the browser before it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Playwright

ROOT = Path(__file__).resolve().parent.parent.parent
SERVERS_OF_ITS_OWN = (
    "DATABASE_URL",
    "REDIS_URL",
    "EMAIL_URL",
    "SITE_URL",
    "ALLOWED_HOSTS",
    "SECRET_KEY",
    "REFERRAL_RUN",
)
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Seconds.
LONGEST_START = 90
LONGEST_STOP = 30


class DoesNotStart(Exception):
    """The demo does not come up; its log says why."""


@contextmanager
def running_demo() -> Iterator[str]:
    """Give the address of a running demo. In the end Ctrl-C stops it, and leaves no process and no fault in its log."""
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))  # short: it holds sockets
    port = free_port()
    with (folder / "run.log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "manage.py", "run"],
            cwd=ROOT,
            env=environment(folder, port),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(address, run, folder / "run.log")
        yield address
    finally:
        # A terminal sends Ctrl-C to the whole group.
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGINT)
        code = run.wait(LONGEST_STOP)
    log_text = (folder / "run.log").read_text()
    assert code == 0, log_text
    assert processes_on(folder) == []
    assert "Traceback" not in log_text, log_text
    shutil.rmtree(folder)


def launch(playwright: Playwright) -> Browser:
    """Start Chromium. Raises FileNotFoundError where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise FileNotFoundError("Chromium is missing: install it (apt-get install chromium).")
    return playwright.chromium.launch(executable_path=chromium, args=SWITCHES)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def environment(folder: Path, port: int) -> dict[str, str]:
    """Our environment, but with servers, data and a port of its own."""
    inherited = {name: value for name, value in os.environ.items() if name not in SERVERS_OF_ITS_OWN}
    return inherited | {
        "REFERRAL_ENVIRONMENT": "development",
        "REFERRAL_DEMO": "1",
        "REFERRAL_DATA_DIR": str(folder),
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }


def wait_until_it_answers(address: str, run: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and run.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address, timeout=5) as answer:
            assert answer.status == 200
            return
        time.sleep(0.1)
    raise DoesNotStart(log.read_text())


def processes_on(folder: Path) -> list[str]:
    """Every living process that names the data directory in its arguments or environment."""
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(folder) in text for text in named):
                found.append(" ".join(process.cmdline()))
    return found
