"""The export commands: their columns, their forms, and a file that appears whole or not at all."""

from __future__ import annotations

import csv
import io
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from djmoney.money import Money

from accounts.models import User
from credits.models import Coupon, CouponEntry
from credits.operations import redeem
from referrals.models import FraudFlag, Referral
from referrals.operations import open_flag, refuse, settle
from tests.facts import NOW, chargeback, day, fact, record, register

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = {
    "export_coupons": "coupon_id,account_id,kind,friend_id,amount,remaining,redeemed,expired,revoked,issued_at,"
    "expires_at",
    "export_entries": "entry_id,coupon_id,account_id,type,amount,balance_after,reference,occurred_at,recorded_at",
    "export_referrals": "friend_id,referrer_id,status,qualifying_spend,window_spend,qualified_at,payout_due_at,"
    "bonus_due_at,payout_granted,bonus_granted",
}


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """Worked example 1: payout due on 19 February, bonus on 1 May."""
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "12", day(1, 5)), fact(bob, "rds", "9", day(1, 20), product="rds"))
    return bob


def export(command: str, to: Path) -> list[dict[str, str]]:
    """Run the command; its last line counts the rows of the file."""
    out = io.StringIO()
    call_command(command, to=str(to), stdout=out)
    with to.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert out.getvalue().splitlines()[-1] == f"exported={len(rows)}"
    return rows


@pytest.mark.parametrize("command", COLUMNS)
def test_the_columns_are_those_of_the_design(command: str, tmp_path: Path) -> None:
    assert export(command, tmp_path / "out.csv") == []
    assert (tmp_path / "out.csv").read_text() == f"{COLUMNS[command]}\n"


def test_coupons_as_they_stand(alice: User, bob: User, tmp_path: Path) -> None:
    settle(as_of=day(2, 19), now=NOW)
    redeem(
        source="test", redemption_id="order-1", customer_id=alice.pk, amount=Money("15", "USD"), occurred_at=day(2, 20),
        now=NOW,
    )  # fmt: skip
    rows = export("export_coupons", tmp_path / "coupons.csv")
    assert [row["coupon_id"] for row in rows] == [
        str(pk) for pk in Coupon.objects.order_by("pk").values_list("pk", flat=True)
    ]
    payout = rows[-1]
    assert payout == {
        "coupon_id": payout["coupon_id"],
        "account_id": "alice",
        "kind": "payout",
        "friend_id": "bob",
        "amount": "20.00",
        "remaining": "5.00",
        "redeemed": "15.00",
        "expired": "0.00",
        "revoked": "0.00",
        "issued_at": "2026-02-19T00:00:00Z",
        "expires_at": "2026-08-18T00:00:00Z",
    }
    assert {row["kind"]: row["friend_id"] for row in rows if row["account_id"] == "bob"} == {"trial": "", "welcome": ""}


def test_entries_as_they_were_recorded(alice: User, bob: User, tmp_path: Path) -> None:
    settle(as_of=day(2, 19), now=NOW)
    at = datetime(2026, 2, 20, 9, 30, 0, 250000, tzinfo=UTC)
    redeem(source="test", redemption_id="o,1", customer_id=alice.pk, amount=Money("15", "USD"), occurred_at=at, now=NOW)
    rows = export("export_entries", tmp_path / "entries.csv")
    ids = CouponEntry.objects.order_by("pk").values_list("pk", flat=True)
    assert [row["entry_id"] for row in rows] == [str(pk) for pk in ids]
    issued, used = rows[-2:]
    assert (issued["type"], issued["amount"], issued["balance_after"]) == ("ISSUE", "20.00", "20.00")
    assert (used["type"], used["amount"], used["balance_after"]) == ("REDEEM", "-15.00", "5.00")
    assert used["account_id"] == "alice"
    assert used["coupon_id"] == issued["coupon_id"]
    assert used["reference"] == CouponEntry.objects.latest("pk").reference
    assert used["occurred_at"] == "2026-02-20T09:30:00.250000Z"
    assert used["recorded_at"] == "2026-11-01T00:00:00Z"


def test_a_referral_as_it_stands(alice: User, bob: User, tmp_path: Path) -> None:
    settle(as_of=day(2, 19), now=NOW)
    assert export("export_referrals", tmp_path / "referrals.csv") == [
        {
            "friend_id": "bob",
            "referrer_id": "alice",
            "status": "paid",
            "qualifying_spend": "21.00",
            "window_spend": "21.00",
            "qualified_at": "2026-01-20T00:00:00Z",
            "payout_due_at": "2026-02-19T00:00:00Z",
            "bonus_due_at": "2026-05-01T00:00:00Z",
            "payout_granted": "20.00",
            "bonus_granted": "0.00",
        }
    ]


def status_of(friend: User, tmp_path: Path) -> str:
    rows = export("export_referrals", tmp_path / "referrals.csv")
    return next(row["status"] for row in rows if row["friend_id"] == friend.account_id)


def test_the_status_follows_the_referral(alice: User, tmp_path: Path) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "19.99", day(1, 5)))
    settle(as_of=day(1, 6), now=NOW)
    assert status_of(bob, tmp_path) == "joined"
    record(fact(bob, "more", "0.01", day(1, 7)))
    settle(as_of=day(1, 8), now=NOW)
    assert status_of(bob, tmp_path) == "qualified"
    settle(as_of=day(2, 6), now=NOW)
    assert status_of(bob, tmp_path) == "paid"
    record(chargeback(bob, "back", "0.01", "more", day(2, 7)))
    settle(as_of=day(2, 8), now=NOW)
    assert status_of(bob, tmp_path) == "clawed_back"
    referral_id = Referral.objects.get(friend=bob).pk
    hold = FraudFlag.Severity.HOLD
    open_flag(
        referral_id=referral_id, rule="card", severity=hold, evidence={}, actor=None, reason="card", now=day(2, 9)
    )
    assert status_of(bob, tmp_path) == "held"
    refuse(referral_id=referral_id, actor=None, reason="same person", now=day(2, 10))
    assert status_of(bob, tmp_path) == "refused"


def test_never_paid_is_never_clawed_back(alice: User, tmp_path: Path) -> None:
    bob = register("bob", referred_by=alice)
    record(fact(bob, "ecs", "20", day(1, 5)))
    settle(as_of=day(1, 6), now=NOW)
    record(chargeback(bob, "back", "20", "ecs", day(1, 7)))
    settle(as_of=day(3, 1), now=NOW)
    assert status_of(bob, tmp_path) == "joined"


@pytest.mark.parametrize("command", COLUMNS)
def test_a_dash_is_standard_output_and_the_count_goes_to_stderr(command: str, bob: User) -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command(command, to="-", stdout=out, stderr=err)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert out.getvalue().splitlines()[0] == COLUMNS[command]
    assert rows
    assert err.getvalue() == f"exported={len(rows)}\n"


@pytest.mark.parametrize("command", COLUMNS)
def test_an_export_is_one_statement_that_postgres_streams(command: str, bob: User, tmp_path: Path) -> None:
    with connection.execute_wrapper(refuse_statements):
        call_command(command, to=str(tmp_path / "out.csv"), stdout=io.StringIO())


def refuse_statements(*statement: object) -> None:
    raise AssertionError(statement)


def test_a_file_that_fails_halfway_leaves_the_old_one(bob: User, tmp_path: Path) -> None:
    target = tmp_path / "coupons.csv"
    target.write_text("as it was")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE credits_coupon RENAME TO away")
    try:
        with pytest.raises(Exception, match="credits_coupon"):
            call_command("export_coupons", to=str(target), stdout=io.StringIO())
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO credits_coupon")
    assert target.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_is_as_readable_as_any_and_an_old_one_keeps_its_mode(bob: User, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.touch(mode=0o600)
    for target in (new, old):
        export("export_coupons", target)
    assert new.stat().st_mode == other.stat().st_mode
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


def test_a_link_to_a_file_stays_a_link(bob: User, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "file.csv")
    export("export_coupons", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "file.csv").read_text().startswith("coupon_id")


def test_a_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        call_command("export_coupons", to=str(tmp_path / "nowhere" / "out.csv"))
