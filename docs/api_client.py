"""A client of the API in one file, on Python's standard library alone: copy it, and change what you need.

    REFERRAL_API_KEY=raf_… python docs/api_client.py https://cloud.example.com

registers a customer, sends what they paid, and reads what credit they have. The key needs the scopes accounts:write,
spend:write and credit:read. Run again on the same day, it changes nothing: that is what ids are for.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

MOST_TRIES = 5


class Refused(Exception):
    """The API said no: `status`, its stable `code`, what it is about, and the answer whole."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.code, self.problem = status, problem.get("code"), problem


class Client:
    """Calls the API with a key; waits where it is told to, and where the server cannot be reached."""

    def __init__(self, base: str, key: str) -> None:
        self.base, self._key = f"{base.rstrip('/')}/api/v1", key

    def register(self, **account: Any) -> dict[str, Any]:
        """Register a customer. The same again answers the same; other content under the id raises Refused: conflict."""
        return self.call("POST", "/accounts", account)

    def change(self, account_id: str, **change: Any) -> dict[str, Any]:
        """Change a customer's address, verification, payment method, or an individual into an enterprise."""
        return self.call("PATCH", f"/accounts/{quote(account_id, safe='')}", change)

    def send_spend(self, *events: dict[str, str]) -> dict[str, Any]:
        """Send up to 10,000 payments and reversals. What is refused of them is named in the answer, one by one."""
        return self.call("POST", "/spend-events", {"events": events})

    def credit(self, account_id: str) -> dict[str, Any]:
        """Read what credit a customer has."""
        return self.call("GET", f"/accounts/{quote(account_id, safe='')}/credit")

    def redeem(self, **purchase: Any) -> dict[str, Any]:
        """Pay a purchase with credit; with preview=True, only ask what credit would pay. `cash` is what is left."""
        return self.call("POST", "/redemptions", purchase)

    def give_back(self, redemption_id: str, **returned: Any) -> dict[str, Any]:
        """Give back what credit paid of a purchase, all or part."""
        return self.call("POST", f"/redemptions/{quote(redemption_id, safe='')}/returns", returned)

    def report_abuse(self, **report: Any) -> dict[str, Any]:
        """Report a customer's abuse, under an id of yours."""
        return self.call("POST", "/abuse-reports", report)

    def rows(self, name: str, **asked: str) -> Generator[dict[str, Any], None, str]:
        """Read a list to its end: referrals, rewards, coupons or entries. Returns what to ask for changes `since`."""
        while True:
            page = self.call("GET", f"/{name}?{urlencode(asked)}")
            yield from page[name]
            if page["next"] is None:
                changes: str = page["changes"]
                return changes
            asked["since" if "since" in asked else "cursor"] = page["next"]

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a call until it is answered. Every call may be sent twice: ids make that safe. Raises Refused."""
        for tried in range(1, MOST_TRIES + 1):
            try:
                return self._send(method, path, body)
            except urllib.error.HTTPError as answer:
                if tried == MOST_TRIES or (answer.code != 429 and answer.code < 500):
                    raise Refused(answer.code, _problem(answer)) from answer
                time.sleep(float(answer.headers.get("Retry-After", 2**tried)))
            except (urllib.error.URLError, TimeoutError):
                if tried == MOST_TRIES:
                    raise
                time.sleep(2**tried)
        raise AssertionError("The last try returns or raises.")

    def _send(self, method: str, path: str, body: Any) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, content, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the address is the caller's own
            found: dict[str, Any] = json.load(answer)
            return found


def _problem(answer: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        problem: dict[str, Any] = json.load(answer)
    except ValueError:
        return {"code": "unreadable", "detail": answer.reason}
    return problem


def main() -> None:
    """Register, pay, read."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("base", help="where the site is, such as https://cloud.example.com")
    arguments.add_argument("--account", default="acct-example-1", help="the customer's id")
    arguments.add_argument("--referral-code", default="", help="what the customer gave at sign-up")
    chosen = arguments.parse_args()
    client = Client(chosen.base, os.environ["REFERRAL_API_KEY"])
    # A billing system says the same of a customer each time; here, that is yesterday.
    registered_at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    try:
        account = client.register(
            account_id=chosen.account,
            email=f"{chosen.account}@example.com",
            account_type="individual",
            country="DE",
            registered_at=registered_at.isoformat(),
            referral_code=chosen.referral_code,
        )
        receipt = client.send_spend(
            {
                "event_id": f"pay-{chosen.account}-1",
                "account_id": chosen.account,
                "type": "payment",
                "product": "ecs",
                "currency": "USD",
                "amount": "25.00",
                "occurred_at": (registered_at + timedelta(hours=1)).isoformat(),
            }
        )
        for answer in (account, receipt, client.credit(chosen.account)):
            sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    except Refused as refusal:
        raise SystemExit(str(refusal)) from None


if __name__ == "__main__":
    main()
