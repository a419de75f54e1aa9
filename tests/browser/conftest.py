"""The whole product, as `make run` starts it, and a browser in front of it."""

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
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, sync_playwright

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
LONGEST_START = 90
LONGEST_STOP = 30


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """The address of the running demo. In the end Ctrl-C stops it, and leaves no process."""
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


@pytest.fixture
def page(site: str) -> Iterator[Page]:
    """A browser's page on the running demo. Whatever the browser complains of fails the test."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("Chromium is missing: install it (apt-get install chromium).", pytrace=False)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        context = browser.new_context(base_url=site)
        context.set_default_timeout(10_000)
        context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        context.on("weberror", lambda fault: complaints.append(str(fault.error)))
        yield context.new_page()
        browser.close()
    assert complaints == []


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
    pytest.fail(f"The demo does not start:\n{log.read_text()}", pytrace=False)


def processes_on(folder: Path) -> list[str]:
    """Every living process that names the data directory in its arguments or environment."""
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(folder) in text for text in named):
                found.append(" ".join(process.cmdline()))
    return found
