"""The world of the crash tests: what a billing system would have told, all of it long past.

    python -m tests.crash.world FOLDER

writes the files into FOLDER and takes them in through the product's own commands, on the servers of the environment.

2,500 customers have referred a friend each, so that a settlement has three chunks. To 40 of them the rewards have been
granted before, to 20 so long ago that the coupons are past their expiry; some of it is spent, and some of the friends'
payments are charged back since: there is to expire, to revoke, to let go, to owe and to grant. The other payouts come
due on four days of February 2024.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

PAIRS = range(2500)
LONG_PAID, PAID, UNPAID = PAIRS[:20], PAIRS[20:40], PAIRS[40:]

OLD_SINCE = datetime(2023, 8, 22, 12, tzinfo=UTC)
"""The old friends' welcome credit expires on 18 February 2024, 180 days later."""
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
PAID_AS_OF = datetime(2024, 1, 10, tzinfo=UTC)
FIRST_PAYOUT_DAY = datetime(2024, 2, 17, tzinfo=UTC)

ACCOUNTS = ("account_id", "email", "account_type", "country", "registered_at", "referred_by")
SPEND = ("event_id", "account_id", "type", "product", "currency", "amount", "occurred_at", "payment_id")
REDEMPTIONS = ("redemption_id", "account_id", "amount", "occurred_at")

Row = tuple[str, ...]


def main(folder: Path) -> None:
    """Take in all but the late spend, which is left to whoever wants it."""
    import django

    django.setup()
    from django.core.management import call_command

    write_files(folder)
    call_command("migrate", verbosity=0)
    call_command("import_accounts", folder / "accounts.csv")
    call_command("import_spend", folder / "long_paid.csv")
    call_command("settle", as_of=PAID_AS_OF)
    call_command("import_spend", folder / "paid.csv")
    call_command("settle")
    write(folder / "redemptions.csv", REDEMPTIONS, redemptions(now=datetime.now(UTC)))
    call_command("import_redemptions", folder / "redemptions.csv")
    call_command("import_spend", folder / "reversed.csv")
    call_command("import_spend", folder / "spend.csv")


def write_files(folder: Path) -> None:
    """Write every file of this world."""
    write(folder / "accounts.csv", ACCOUNTS, accounts())
    write(folder / "long_paid.csv", SPEND, old_spend(LONG_PAID))
    write(folder / "paid.csv", SPEND, old_spend(PAID))
    write(folder / "reversed.csv", SPEND, reversals())
    write(folder / "spend.csv", SPEND, spend())
    write(folder / "late.csv", SPEND, late_spend())


def write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(columns)
        out.writerows(rows)


def accounts() -> Iterable[Row]:
    for pair in PAIRS:
        since = (OLD_SINCE if pair in (*LONG_PAID, *PAID) else SINCE).isoformat()
        yield f"r{pair}", f"r{pair}@example.com", "individual", "DE", since, ""
        yield f"f{pair}", f"f{pair}@example.com", "individual", "DE", since, f"r{pair}"


def payment(pair: int, name: str, amount: str, at: datetime) -> Row:
    return f"{name}{pair}", f"f{pair}", "payment", "ecs", "USD", amount, at.isoformat(), ""


def old_spend(pairs: Iterable[int]) -> Iterable[Row]:
    """Payout and bonus were due by 10 January 2024."""
    for pair in pairs:
        yield payment(pair, "a", "15", OLD_SINCE + timedelta(days=1))
        yield payment(pair, "b", "85", OLD_SINCE + timedelta(days=2))


def redemptions(*, now: datetime) -> Iterable[Row]:
    """Every other one has spent more than the payout; what is charged back of it is owed."""
    for pair in LONG_PAID[::2]:
        yield f"o{pair}", f"r{pair}", "23", (PAID_AS_OF + timedelta(days=1)).isoformat()
    for pair in PAID[::2]:
        yield f"o{pair}", f"r{pair}", "23", now.isoformat()


def reversals() -> Iterable[Row]:
    """Two in three are charged back or refunded: below the threshold, or to a smaller bonus."""
    at = (PAID_AS_OF + timedelta(days=2)).isoformat()
    for pair in (*LONG_PAID, *PAID):
        if pair % 3 == 1:
            yield f"c{pair}", f"f{pair}", "chargeback", "", "USD", "85", at, f"b{pair}"
        if pair % 3 == 2:
            yield f"d{pair}", f"f{pair}", "refund", "", "USD", "30", at, f"b{pair}"


def spend() -> Iterable[Row]:
    """The new friends qualify with their second payment; payouts are due over four days, some 900 of them later."""
    for pair in UNPAID:
        qualifies = FIRST_PAYOUT_DAY - timedelta(days=30) + timedelta(days=pair % 4, minutes=pair % 600)
        yield payment(pair, "a", "12", SINCE + timedelta(days=3))
        yield payment(pair, "b", f"{9 + pair % 50}.{pair % 100:02}", qualifies)


def late_spend() -> Iterable[Row]:
    """More payments, which make every bonus larger, and refunds of others, which make one in ten fall away."""
    for pair in UNPAID:
        if pair % 10:
            yield payment(pair, "l", "10.50", SINCE + timedelta(days=40))
        else:
            yield f"m{pair}", f"f{pair}", "refund", "", "USD", "12", SINCE.isoformat(), f"a{pair}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
