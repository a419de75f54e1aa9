"""The redemptions file of the billing system."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ImportRun, RefusedFact, User
from credits.models import Coupon, Redemption
from credits.operations import NewCoupon, issue_coupons, open_accounts
from tests.interruption import interrupt

# Alice has the coupons that these tests give her, and no trial.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.untrue_rows("customer_has_a_trial")]

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
HEADER = "occurred_at,note,redemption_id,amount,account_id"


@pytest.fixture(autouse=True)
def alice() -> User:
    alice = User.objects.create_user("a@example.com", account_id="alice", created_at=JANUARY, registered_at=JANUARY)
    open_accounts(customer_ids=[alice.pk])
    new = NewCoupon(alice.pk, "goodwill", None, "test", Decimal("10.00"), JANUARY, FOREVER)
    issue_coupons(coupons=[new], now=JANUARY)
    return alice


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five redemptions: the third is above what the first two left, the fifth takes that."""
    path = tmp_path / "redemptions.csv"
    rows = ["r1,4", "r2,4", "r3,3", "r2,4.00", "r5,2"]
    lines = [f"2026-03-01T00:00:00Z,a note,{row},alice" for row in rows]
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


def run(path: Path, *options: object) -> str:
    out = StringIO()
    call_command("import_redemptions", path, *options, stdout=out)
    return out.getvalue().splitlines()[-1]


@pytest.mark.parametrize("chunk_size", [1, 2, 10_000])
def test_a_file_is_redeemed_in_order_whatever_its_chunks(path: Path, tmp_path: Path, chunk_size: int) -> None:
    rejects = tmp_path / "rejects.csv"
    counts = run(path, "--rejects", rejects, "--chunk-size", chunk_size)
    assert counts == "accepted=3 waiting=0 duplicate=1 refused=1"
    header, refused = csv.reader(StringIO(rejects.read_text()))
    assert header == ["line", "code", "message", *HEADER.split(",")]
    assert refused[:2] == ["4", "insufficient"]
    assert refused[3:] == ["2026-03-01T00:00:00Z", "a note", "r3", "3", "alice"]
    assert Coupon.objects.get().remaining.amount == 0
    assert set(Redemption.objects.values_list("source", flat=True)) == {"billing"}


def test_a_file_read_again_is_all_duplicates(path: Path) -> None:
    run(path)
    assert run(path) == "accepted=0 waiting=0 duplicate=4 refused=1"
    assert ImportRun.objects.count() == 2


@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_an_import_that_was_killed_ends_as_if_run_once(path: Path, tmp_path: Path, done: int) -> None:
    interrupt("import_redemptions", path, "--chunk-size", 1, before_line=done + 2)
    assert ImportRun.objects.get().lines_done == done + 1
    # What came in between would let the third redemption in, were it judged again.
    alice = User.objects.get()
    new = NewCoupon(alice.pk, "goodwill", None, "since", Decimal("10.00"), JANUARY, FOREVER)
    if done >= 3:
        issue_coupons(coupons=[new], now=JANUARY)
    rejects = tmp_path / "rejects.csv"
    counts = run(path, "--rejects", rejects, "--chunk-size", 1)
    assert counts == "accepted=3 waiting=0 duplicate=1 refused=1"
    assert [line[:15] for line in rejects.read_text().splitlines()[1:]] == ["4,insufficient,"]
    assert RefusedFact.objects.count() == 1


def test_an_unreadable_file_redeems_nothing(path: Path) -> None:
    path.write_text(path.read_text().rstrip("\n"))
    with pytest.raises(CommandError, match="line 6: the last line is cut off"):
        run(path)
    assert not Redemption.objects.exists()


def test_strict_exits_with_one_after_all_is_done(path: Path) -> None:
    with pytest.raises(CommandError) as fault:
        run(path, "--strict")
    assert fault.value.returncode == 1
    assert Redemption.objects.count() == 3
