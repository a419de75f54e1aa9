"""The client in `docs/` against the running product, whose log at its most talkative names no key."""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import INHERITED, ROOT, answers, free_port, manage, start

TOO_LARGE = b" " * (20 * 1024 * 1024)
NAMES = ("event_id", "account_id", "type", "currency", "amount", "occurred_at")
SPEND = json.dumps({"events": [dict.fromkeys(NAMES, f"in parts {n}") for n in range(1000)]}).encode()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="api-", dir="/tmp") as name:
        yield Path(name)


def client(address: str, key: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "docs/api_client.py", address, *arguments],
        cwd=ROOT,
        env=INHERITED | {"REFERRAL_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def documents(text: str) -> list[dict[str, Any]]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        document, at = decoder.raw_decode(text, at)
        found.append(document)
        at += 1
    return found


def in_parts(body: bytes) -> Iterator[bytes]:
    """As a client sends what it does not measure first: in chunks, and without a Content-Length."""
    for at in range(0, len(body), 64 * 1024):
        yield body[at : at + 64 * 1024]


def status_of(address: str, authorization: str, body: bytes | Iterator[bytes] | None = None) -> int:
    request = urllib.request.Request(address, body, {"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_client_registers_pays_and_reads_and_no_log_names_its_key(folder: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"REFERRAL_DATA_DIR": str(folder), "PORT": str(port), "LOG_LEVEL": "DEBUG", "DEBUG": "1"}
    product = start("run", **settings)
    try:
        assert answers(port), f"exit code {product.poll()}"
        scopes = ["accounts:write", "spend:write", "credit:read", "credit:redeem"]
        made = manage("create_api_key", "client", "--scope", *scopes, REFERRAL_DATA_DIR=str(folder))
        key = made.stdout.strip()
        for _ in range(2):
            run = client(address, key)
            assert run.returncode == 0, run.stderr
            account, receipt, credit = documents(run.stdout)
            assert (account["account_id"], account["referred_by"]) == ("acct-example-1", None)
            assert receipt["accepted"] + receipt["duplicate"] == 1
            assert (credit["usable"], credit["trial"]) == ("0.00", "300.00")
        refused = client(address, key, "--account", "other", "--referral-code", "nobodys")
        assert (refused.returncode, refused.stderr.split(":")[0]) == (1, "422 referrer")
        wrong = client(address, f"{key}x")
        assert wrong.stderr.startswith("401 key")
        calls = runpy.run_path("docs/api_client.py")["Client"](address, key)
        lines = [{"product": "ecs", "amount": "5"}]
        asked = calls.redeem(redemption_id="order/1", account_id="acct-example-1", lines=lines, preview=True)
        assert (asked["recorded"], asked["cash"]) == (False, "5.00")
        assert calls.redeem(redemption_id="order/1", account_id="acct-example-1", lines=lines)["recorded"]
        with pytest.raises(Exception, match="422 exceeds"):
            calls.give_back("order/1", return_id="refund-1", amount="5")
        reading = calls.rows("coupons", account_id="acct-example-1", limit="1")
        assert next(reading)["kind"] == "trial"
        with pytest.raises(StopIteration) as end:
            next(reading)
        assert list(calls.rows("coupons", since=end.value.value)) == []
        where = f"{address}/api/v1/accounts/acct-example-1/credit"
        assert [status_of(where, f"{scheme} {key}") for scheme in ("bearer", "Token", "Basic", "")] == [
            200,
            401,
            401,
            401,
        ]
        assert status_of(f"{address}/api/v1/accounts", f"Bearer {key}", b"{") == 400
        assert status_of(f"{address}/api/v1/accounts", f"Bearer {key}", TOO_LARGE) == 413
        assert status_of(f"{address}/api/v1/accounts", "Bearer none", TOO_LARGE) == 401
        assert status_of(f"{address}/api/v1/spend-events", f"Bearer {key}", in_parts(SPEND)) == 200
        assert status_of(f"{address}/api/v1/accounts", f"Bearer {key}", in_parts(b"{")) == 400
        assert status_of(f"{address}/api/v1/accounts", f"Bearer {key}", in_parts(TOO_LARGE)) == 413
        assert status_of(f"{address}/api/v1/accounts", "Bearer none", in_parts(TOO_LARGE)) == 401
    finally:
        if product.poll() is None:
            os.killpg(product.pid, signal.SIGINT)
        said, _ = product.communicate(timeout=30)
    assert "Unauthorized: /api/v1/accounts" in said  # the log is there
    assert key[4:] not in said
    assert "Traceback" not in said
