"""The spend file of the billing system: counts, rejects, and imports that were killed on the way."""

import csv
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.facts import Tally
from accounts.models import ImportRun, User
from accounts.operations import UnableToAdvanceRun, advance_run, start_run
from billing.models import SpendBatch, SpendEvent, WaitingReversal
from tests.interruption import interrupt

# Bob is here to spend, and was not registered by the operation.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.untrue_rows("customer_has_a_trial", "customer_has_a_credit_account"),
]

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ("event_id", "account_id", "type", "product", "currency", "amount", "occurred_at", "payment_id")


@pytest.fixture(autouse=True)
def bob() -> User:
    return User.objects.create_user("bob@example.com", account_id="bob", created_at=JANUARY, registered_at=JANUARY)


def payment(event_id: str, amount: str) -> tuple[str, ...]:
    return (event_id, "bob", "payment", "ecs", "USD", amount, "2026-02-01T00:00:00Z", "")


def reversal(event_id: str, kind: str, amount: str, payment_id: str = "p1") -> tuple[str, ...]:
    return (event_id, "bob", kind, "", "USD", amount, "2026-02-02T00:00:00Z", payment_id)


# The refund of $6 is above the net when it is judged; after the dispute is won it would not be.
HISTORY = [
    payment("p1", "10"),
    reversal("c1", "chargeback", "5"),
    reversal("r1", "refund", "6"),
    reversal("d1", "chargeback_reversal", "5"),
    payment("p1", "10.00"),
    reversal("r2", "refund", "3", "p2"),
    reversal("r3", "refund", "2", "p2"),
    payment("p2", "4"),
    reversal("r4", "refund", "1", "p3"),
]
COUNTS = "accepted=5 waiting=1 duplicate=1 refused=2"
REFUSED = ["4,exceeds", "8,exceeds"]


def as_file(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def run(path: Path, *options: object) -> str:
    out = StringIO()
    call_command("import_spend", path, *options, stdout=out)
    return out.getvalue().splitlines()[-1]


def refused_in(rejects: Path) -> list[str]:
    return [",".join(row[:2]) for row in csv.reader(StringIO(rejects.read_text()))][1:]


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 10_000])
def test_every_row_counts_by_its_outcome_at_the_end(tmp_path: Path, chunk_size: int) -> None:
    path, rejects = as_file(tmp_path / "spend.csv", *HISTORY), tmp_path / "rejects.csv"
    assert run(path, "--rejects", rejects, "--chunk-size", chunk_size) == COUNTS
    assert refused_in(rejects) == REFUSED
    assert set(SpendEvent.objects.values_list("event_id", flat=True)) == {"p1", "c1", "d1", "p2", "r2"}
    assert list(WaitingReversal.objects.values_list("event_id", flat=True)) == ["r4"]
    assert set(SpendBatch.objects.values_list("source", flat=True)) == {"billing"}


@pytest.mark.parametrize("done", range(1, len(HISTORY)))
def test_an_import_that_was_killed_ends_as_if_run_once(tmp_path: Path, done: int) -> None:
    path, rejects = as_file(tmp_path / "spend.csv", *HISTORY), tmp_path / "rejects.csv"
    interrupt("import_spend", path, "--chunk-size", 1, before_line=done + 2)
    run_so_far = ImportRun.objects.get()
    assert (run_so_far.lines_done, run_so_far.finished_at) == (done + 1, None)
    assert SpendBatch.objects.count() == done
    assert run(path, "--rejects", rejects, "--chunk-size", 3) == COUNTS
    assert refused_in(rejects) == REFUSED
    assert SpendEvent.objects.count() == 5
    assert ImportRun.objects.get().finished_at is not None


def test_an_import_may_be_killed_twice(tmp_path: Path) -> None:
    path = as_file(tmp_path / "spend.csv", *HISTORY)
    interrupt("import_spend", path, "--chunk-size", 2, before_line=4)
    interrupt("import_spend", path, "--chunk-size", 3, before_line=9)
    assert run(path) == COUNTS


def test_a_reversal_that_waited_since_an_earlier_file_is_told_last_and_without_a_line(tmp_path: Path) -> None:
    earlier = as_file(tmp_path / "earlier.csv", reversal("r1", "refund", "7"))
    assert run(earlier) == "accepted=0 waiting=1 duplicate=0 refused=0"
    path, rejects = as_file(tmp_path / "spend.csv", payment("p1", "5"), payment("p2", "0")), tmp_path / "rejects.csv"
    assert run(path, "--rejects", rejects) == "accepted=1 waiting=0 duplicate=0 refused=2"
    assert refused_in(rejects) == ["3,amount", ",exceeds"]
    assert list(csv.reader(StringIO(rejects.read_text())))[-1][3:] == list(reversal("r1", "refund", "7"))


def test_two_imports_of_one_file_at_once_do_not_both_count() -> None:
    """The one that was overtaken says so."""
    ours = start_run(kind="spend", file_digest="d", now=JANUARY)
    theirs = start_run(kind="spend", file_digest="d", now=JANUARY)
    assert ours == theirs
    advance_run(run=theirs, lines_done=3, tally=Tally(accepted=2), refusals=[])
    with pytest.raises(UnableToAdvanceRun):
        advance_run(run=ours, lines_done=3, tally=Tally(accepted=2), refusals=[])
    ours.refresh_from_db()
    assert ours.accepted == 2


def test_an_unreadable_file_changes_nothing(tmp_path: Path) -> None:
    path = as_file(tmp_path / "spend.csv", payment("p1", "5"), ("p2",))
    with pytest.raises(CommandError, match="line 3: has 1 fields where the header has 8"):
        run(path, "--chunk-size", 1)
    assert not SpendBatch.objects.exists()


def test_strict_exits_with_one_after_all_is_done(tmp_path: Path) -> None:
    path = as_file(tmp_path / "spend.csv", payment("p1", "0"), payment("p2", "5"))
    with pytest.raises(CommandError):
        run(path, "--strict")
    assert SpendEvent.objects.count() == 1
