"""A customer at the checkout, in a process that can be killed:

    python -m tests.crash.shopper ACCOUNT KEY

orders a domain and a database by the button KEY, and prints what became of that. With CRASH_WITHOUT=key, for the
control, the gateway is asked by another key each time, and finds none.
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any


def main(account_id: str, key: str) -> None:
    import django

    django.setup()
    from accounts import clock
    from accounts.models import User
    from billing.gateways.sandbox import Sandbox
    from billing.operations import check_out
    from billing.queries.checkout import Wanted, quote

    if os.environ.get("CRASH_WITHOUT") == "key":
        charge = Sandbox.charge

        def charge_anew(self: Sandbox, **asked: Any) -> str:
            return charge(self, **{**asked, "key": secrets.token_hex()})

        Sandbox.charge = charge_anew  # type: ignore[method-assign]
        Sandbox.find_charge = lambda self, **asked: None  # type: ignore[method-assign]
    customer, now = User.objects.get(account_id=account_id).pk, clock.now()
    wanted = [Wanted("domain", 1), Wanted("rds", 1)]
    seen = quote(customer_id=customer, wanted=wanted, now=now).seen
    order = check_out(customer_id=customer, key=key, wanted=wanted, seen=seen, now=now)
    sys.stdout.write(f"{order.state} {order.reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
