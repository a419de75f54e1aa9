"""A year and a half of real purchases, through the commands, against the plain reading of the terms."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from billing.catalogue import PRODUCTS
from tests.plain_reading import Account, Payment, Programme, Terms

CDNOW = Path(__file__).parent / "data" / "cdnow"
FIRST = datetime(1997, 1, 8, tzinfo=UTC)
LAST = datetime(1998, 12, 1, tzinfo=UTC)
MONEY = ("amount", "remaining", "redeemed", "expired", "revoked")
SUMS = ("qualifying_spend", "window_spend", "payout_granted", "bonus_granted")
EARNS_CREDIT = {code: earns for code, _, _, (earns, _, _) in PRODUCTS}

Row = dict[str, Any]


@pytest.mark.django_db(transaction=True)
def test_real_purchases_settle_to_the_cent(tmp_path: Path) -> None:
    accounts = command("import_accounts", CDNOW / "accounts.csv")
    spend = command("import_spend", CDNOW / "spend.csv", "--rejects", tmp_path / "rejects.csv")
    assert last_line(accounts) == "accepted=2357 waiting=0 duplicate=0 refused=0"
    assert last_line(spend) == "accepted=6911 waiting=0 duplicate=0 refused=8"
    assert_exactly_the_free_purchases_are_refused(rows_of(tmp_path / "rejects.csv"))

    for week in weeks():
        command("settle", "--as-of", week.isoformat())
    command("audit")

    referrals, coupons = plainly_settled()
    assert exported_referrals(tmp_path) == referrals
    assert exported_coupons(tmp_path) == coupons
    assert_entries_add_up_to_the_coupons(tmp_path)
    assert sum(row["payout_granted"] for row in referrals) == Decimal(20) * sum(
        row["qualifying_spend"] >= 20 for row in referrals
    )


def weeks() -> Iterator[datetime]:
    week = FIRST
    while week <= LAST:
        yield week
        week += timedelta(days=7)


def command(name: str, *arguments: object) -> str:
    output = StringIO()
    call_command(name, *map(str, arguments), stdout=output)
    return output.getvalue()


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def assert_exactly_the_free_purchases_are_refused(rejects: list[dict[str, str]]) -> None:
    free = {row["event_id"] for row in rows_of(CDNOW / "spend.csv") if row["amount"] == "0.00"}
    assert len(free) == 8
    assert len(rejects) == 8
    assert {row["event_id"] for row in rejects if row["code"] == "amount"} == free


# The engine's books, as exported


def exported_referrals(folder: Path) -> list[Row]:
    command("export_referrals", "--to", folder / "referrals.csv")
    return in_order([as_referral(row) for row in rows_of(folder / "referrals.csv")])


def as_referral(row: dict[str, str]) -> Row:
    moments = {name: moment(row[name]) for name in ("qualified_at", "payout_due_at", "bonus_due_at")}
    return row | moments | {name: Decimal(row[name]) for name in SUMS}


def exported_coupons(folder: Path) -> list[Row]:
    command("export_coupons", "--to", folder / "coupons.csv")
    return in_order([as_coupon(row) for row in rows_of(folder / "coupons.csv")])


def as_coupon(row: dict[str, str]) -> Row:
    named = {name: row[name] for name in ("account_id", "kind", "friend_id")}
    moments = {name: moment(row[name]) for name in ("issued_at", "expires_at")}
    return named | moments | {name: Decimal(row[name]) for name in MONEY}


def moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def assert_entries_add_up_to_the_coupons(folder: Path) -> None:
    command("export_entries", "--to", folder / "entries.csv")
    left: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in rows_of(folder / "entries.csv"):
        left[entry["coupon_id"]] += Decimal(entry["amount"])
    coupons = rows_of(folder / "coupons.csv")
    assert left == {row["coupon_id"]: Decimal(row["remaining"]) for row in coupons}


# The same, read plainly


class SettledProgramme(Programme):
    """The plain reading, after the last fact: which payments of a friend qualify need not be looked up each week."""

    def __init__(self) -> None:
        super().__init__([Terms()], EARNS_CREDIT)
        self._qualifying_of: dict[str, list[Payment]] = {}

    def _qualifying(self, friend: Account) -> list[Payment]:
        if friend.account_id not in self._qualifying_of:
            self._qualifying_of[friend.account_id] = super()._qualifying(friend)
        return self._qualifying_of[friend.account_id]


def plainly_settled() -> tuple[list[Row], list[Row]]:
    """Referrals and coupons after every week. Families that no referral joins do not meet: one at a time."""
    spend = grouped(rows_of(CDNOW / "spend.csv"), "account_id")
    referrals: list[Row] = []
    coupons: list[Row] = []
    for family in families(rows_of(CDNOW / "accounts.csv")):
        programme = SettledProgramme()
        programme.import_accounts(family, LAST)
        programme.import_spend([row for account in family for row in spend[account["account_id"]]], LAST)
        for week in weeks():
            programme.settle(week)
        referrals += [{name: row[name] for name in REFERRAL_COLUMNS} for row in programme.referrals()]
        coupons += programme.coupons()
    return in_order(referrals), in_order(coupons)


REFERRAL_COLUMNS = (
    "friend_id",
    "referrer_id",
    "status",
    "qualifying_spend",
    "window_spend",
    "qualified_at",
    "payout_due_at",
    "bonus_due_at",
    "payout_granted",
    "bonus_granted",
)


def families(accounts: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """The accounts in groups that referrals join. In the file a referrer stands before its friends."""
    root: dict[str, str] = {}
    for account in accounts:
        root[account["account_id"]] = root.get(account["referred_by"], account["account_id"])
    joined: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for account in accounts:
        joined[root[account["account_id"]]].append(account)
    return list(joined.values())


def grouped(rows: list[dict[str, str]], column: str) -> defaultdict[str, list[dict[str, str]]]:
    groups: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def in_order(rows: list[Row]) -> list[Row]:
    """Rows in an order of their own, so that two lists of them can be compared."""
    return sorted(rows, key=lambda row: [str(row[name]) for name in sorted(row)])
