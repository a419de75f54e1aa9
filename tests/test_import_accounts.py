"""Accounts from files: what is accepted, what is refused, and files that cannot be read."""

import csv
import gc
import os
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg2
import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.fact_files import FactFile, RejectsFile
from accounts.models import ImportRun, RefusedFact, User
from accounts.operations import AccountFact, Identity, finish_run, import_accounts, pass_verification, start_run
from accounts.run_queries import refusals_of
from accounts.signals import accounts_registered
from tests.interruption import interrupt
from tests.plain_facts import read_account
from tests.plain_reading import Account, Programme, Terms
from tests.races.racing import until_waiting

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, tzinfo=UTC)
COLUMNS = ("account_id", "email", "account_type", "country", "registered_at", "referred_by")
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def row(name: str, **cells: str) -> dict[str, str]:
    return {
        "account_id": name,
        "email": f"{name}@example.com",
        "account_type": "individual",
        "country": "DE",
        "registered_at": "2026-01-01T00:00:00Z",
        "referred_by": "",
        **cells,
    }


def take(*rows: dict[str, str], now: datetime = NOW) -> list[str]:
    """Import the rows; return the code of each refusal with its account id, in order."""
    facts = [AccountFact(number, *(cells[name] for name in COLUMNS)) for number, cells in enumerate(rows, start=2)]
    run = start_run(kind="accounts", file_digest="", now=now)
    tally = import_accounts(facts=facts, now=now, run=run, lines_done=len(rows) + 1)
    run.refresh_from_db()
    assert finish_run(run=run, now=now) == tally
    assert tally.accepted + tally.duplicate + tally.refused == len(rows)
    refusals = [f"{refusal.fact['account_id']}: {refusal.code}" for refusal in refusals_of(run)]
    assert len(refusals) == tally.refused
    return refusals


def known() -> set[str]:
    return set(User.objects.filter(registered_at__isnull=False).values_list("account_id", flat=True))


def as_file(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        out.writeheader()
        out.writerows(rows)
    return path


def run(path: Path, *options: Any) -> str:
    out = StringIO()
    call_command("import_accounts", path, *options, stdout=out)
    return out.getvalue().splitlines()[-1]


def test_an_account_is_registered_as_the_file_says() -> None:
    alice = row(
        "alice", email="Alice@Example.com", account_type="enterprise", registered_at="2026-01-01T01:00:00+01:00"
    )
    assert take(alice, row("bob", referred_by="alice")) == []
    user = User.objects.get(account_id="alice")
    assert (user.email, user.account_type, user.country) == ("alice@example.com", "enterprise", "DE")
    assert user.registered_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert user.created_at == NOW
    assert user.signup_attribution == {
        "fact": {"email": "alice@example.com", "account_type": "enterprise", "country": "DE"}
    }
    assert not user.has_usable_password()
    assert User.objects.get(account_id="bob").signup_attribution["referred_by"] == "alice"
    assert list(EmailAddress.objects.filter(user=user).values_list("email", "verified", "primary")) == [
        ("alice@example.com", True, True)
    ]


def test_all_accounts_are_announced_once_in_the_order_of_the_file() -> None:
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append(said)

    accounts_registered.connect(hear)
    try:
        take(row("bob", referred_by="alice"), row("alice"), row("carol", account_type="robot"))
        take(row("alice"))
    finally:
        accounts_registered.disconnect(hear)
    (said,) = heard
    users = User.objects.in_bulk(said["user_ids"])
    assert [users[pk].account_id for pk in said["user_ids"]] == ["bob", "alice"]
    assert said["now"] == NOW


def test_a_long_file_is_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each account no more than its key, for the announcement: here of 10,000."""
    monkeypatch.setattr(accounts_registered, "send", lambda **said: None)
    facts = (AccountFact(line, *row(f"m{line}").values()) for line in range(2, 10_002))
    gc.collect()
    tracemalloc.start()
    try:
        assert import_accounts(facts=facts, now=NOW).accepted == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 * 10_000


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"account_id": ""}, "id"),
        ({"account_id": "a" * 101}, "id"),
        ({"account_id": "a\x7fb"}, "id"),
        ({"account_id": "a\0b"}, "id"),
        ({"country": "D" * 101}, "id"),
        ({"country": "D\tE"}, "id"),
        ({"account_type": "Individual"}, "type"),
        ({"registered_at": "2026-01-01T00:00:00"}, "time"),
        ({"registered_at": "2026-02-29T00:00:00Z"}, "time"),
        ({"registered_at": "1969-12-31T23:59:59Z"}, "time"),
        ({"email": "nobody"}, "email"),
        ({"email": ""}, "email"),
        ({"email": "a" * 243 + "@example.com"}, "email"),
        ({"referred_by": "nobody"}, "referrer"),
        ({"referred_by": "alice"}, "referrer"),
        ({"referred_by": "n" * 101}, "referrer"),
    ],
)
def test_a_row_that_is_wrong_is_refused_by_its_code(cells: dict[str, str], code: str) -> None:
    assert [refusal.split(": ")[1] for refusal in take(row("alice", **cells))] == [code]
    assert known() == set()


@pytest.mark.parametrize(
    "cells",
    [
        {"account_id": "a" * 100},
        {"account_id": "ödi 🙂"},
        {"country": ""},
        {"country": "D" * 100},
        {"registered_at": "1970-01-01T00:00:00Z"},
        {"email": "a" * 64 + "@example.com"},
    ],
)
def test_what_is_just_within_the_form_is_accepted(cells: dict[str, str]) -> None:
    assert take(row("alice", **cells)) == []


def test_a_registration_may_lie_five_minutes_ahead() -> None:
    ahead, too_far = (NOW + 5 * MINUTE).isoformat(), (NOW + 5 * MINUTE + SECOND).isoformat()
    assert take(row("alice", registered_at=ahead), row("bob", registered_at=too_far)) == ["bob: time"]


def test_the_first_check_that_fails_names_the_code() -> None:
    take(row("alice"))
    wrong = {"account_type": "robot", "registered_at": "soon", "email": "nobody", "referred_by": "nobody"}
    assert take(row("", **wrong)) == [": id"]
    assert take(row("alice", **wrong)) == ["alice: type"]
    assert take(row("alice", **{**wrong, "account_type": "individual"})) == ["alice: time"]
    assert take(row("alice", email="nobody", referred_by="nobody")) == ["alice: email"]
    assert take(row("alice", referred_by="nobody", registered_at="2031-01-01T00:00:00Z")) == ["alice: conflict"]
    late = {"registered_at": "2031-01-01T00:00:00Z", "email": "alice@example.com"}
    assert take(row("bob", referred_by="nobody", **late)) == ["bob: time"]
    assert take(row("bob", referred_by="nobody", email="alice@example.com")) == ["bob: email"]
    assert take(row("bob", referred_by="nobody")) == ["bob: referrer"]


def test_the_same_account_again_is_a_duplicate_by_value() -> None:
    take(row("alice"), row("bob", referred_by="alice"))
    same = row("alice", email="ALICE@example.com", registered_at="2026-01-01T09:00:00+09:00")
    assert take(same, row("bob", referred_by="alice")) == []
    assert take(row("bob")) == ["bob: conflict"]
    assert take(row("alice", country="FR")) == ["alice: conflict"]
    assert User.objects.count() == 2


def test_an_account_that_has_changed_since_is_still_a_duplicate_of_its_fact() -> None:
    take(row("alice"))
    alice = User.objects.get()
    company = Identity("DE", "register", "HRB 1")
    pass_verification(user_id=alice.pk, identity=company, account_type="enterprise", now=NOW)
    User.objects.update(email="alice@example.org", country="FR")
    assert take(row("alice")) == []
    assert take(row("alice", account_type="enterprise")) == ["alice: conflict"]
    assert take(row("alice", email="alice@example.org")) == ["alice: conflict"]
    assert take(row("alice", country="FR")) == ["alice: conflict"]


def test_who_signed_up_here_is_compared_as_the_account_is() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    attribution = {"code": "c", "typed": True}
    User.objects.create_user(
        "alice@example.com", account_id="alice", created_at=at, registered_at=at, signup_attribution=attribution
    )
    assert take(row("alice", country="", email="Alice@example.com")) == []
    assert take(row("alice")) == ["alice: conflict"]


def test_rows_that_share_an_id_are_judged_in_order() -> None:
    assert take(row("alice"), row("alice"), row("alice", country="FR"), row("alice")) == ["alice: conflict"]
    assert User.objects.get().country == "DE"


def test_a_refused_row_leaves_no_trace_on_its_id_or_address() -> None:
    wrong = row("alice", referred_by="nobody")
    assert take(wrong, row("alice", country="FR"), row("bob", email="bob@example.com")) == ["alice: referrer"]
    assert take(wrong) == ["alice: conflict"]
    assert take(row("carol", email="x@example.com", referred_by="nobody"), row("dave", email="X@example.com")) == [
        "carol: referrer"
    ]


def test_an_address_belongs_to_the_first_row_that_is_accepted() -> None:
    assert take(row("alice"), row("bob", email="ALICE@EXAMPLE.COM")) == ["bob: email"]


def test_a_referrer_may_stand_anywhere_in_the_file() -> None:
    rows = [row("carol", referred_by="bob"), row("bob", referred_by="alice"), row("alice")]
    assert take(*rows) == []


def test_whoever_refers_must_be_accepted_and_so_on() -> None:
    rows = [row("carol", referred_by="bob"), row("bob", referred_by="alice"), row("alice", account_type="robot")]
    assert take(*rows) == ["carol: referrer", "bob: referrer", "alice: type"]


def test_a_referrer_registers_no_later_than_the_friend() -> None:
    take(row("zoe", registered_at="2026-01-01T00:00:00.000001Z"))
    same, later = "2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.000002Z"
    assert take(row("alice", referred_by="zoe", registered_at=same)) == []
    assert take(row("bob", referred_by="zoe")) == ["bob: referrer"]
    assert take(row("carol", referred_by="dave"), row("dave", registered_at=later)) == ["carol: referrer"]
    assert take(row("erin", referred_by="frank", registered_at=later), row("frank", registered_at=later)) == []


def test_a_circle_at_one_instant_has_no_reason_to_be_refused() -> None:
    assert take(row("alice", referred_by="bob"), row("bob", referred_by="alice")) == []


def test_a_tied_referrer_counts_once_it_is_accepted() -> None:
    rows = [
        row("dave", referred_by="carol"),
        row("carol", referred_by="alice"),
        row("alice", referred_by="nobody"),
        row("alice"),
        row("bob", email="alice@example.com"),
        row("erin", referred_by="bob"),
    ]
    assert take(*rows) == ["alice: referrer", "bob: email", "erin: referrer"]


def test_who_takes_the_address_of_the_own_referrer_goes_and_nobody_else() -> None:
    carol = row("carol", referred_by="alice")
    bob = row("bob", email="alice@example.com", referred_by="alice")
    assert take(carol, bob, row("alice"), row("carol")) == ["bob: referrer", "carol: conflict"]
    assert known() == {"alice", "carol"}


def test_an_unconfirmed_sign_up_gives_way_and_refers_nobody() -> None:
    User.objects.create_user("alice@example.com", account_id="sign-up", created_at=NOW)
    assert take(row("bob", referred_by="sign-up")) == ["bob: referrer"]
    assert take(row("alice")) == []
    assert known() == {"alice"}
    assert not User.objects.filter(account_id="sign-up").exists()


def test_an_unconfirmed_sign_up_stays_where_the_row_is_refused() -> None:
    User.objects.create_user("alice@example.com", account_id="sign-up", created_at=NOW)
    assert take(row("alice", referred_by="nobody")) == ["alice: referrer"]
    assert take(row("sign-up", email="other@example.com")) == ["sign-up: conflict"]
    assert User.objects.filter(account_id="sign-up").exists()


def test_staff_keep_their_address() -> None:
    User.objects.create_superuser("staff@example.com", created_at=NOW)
    assert take(row("alice", email="Staff@example.com")) == ["alice: email"]


COLUMNS_OF_ANOTHER_ORDER = ("note", "referred_by", "registered_at", "country", "account_type", "email", "account_id")


def statements_of(size: int) -> int:
    """How many statements a file of so many rows takes, in which some are refused and some tied together."""
    names = [f"{size}-{number}" for number in range(size)]
    rows = [row(name, referred_by=names[number // 2]) for number, name in enumerate(names)]
    rows += [row(names[0], referred_by="nobody"), row(names[0]), row("x", email=f"{names[1]}@example.com")]
    with CaptureQueriesContext(connection) as statements:
        take(*rows)
    return len(statements)


def test_a_file_takes_the_same_statements_whatever_its_size() -> None:
    assert statements_of(10) == statements_of(1000)


INSTANTS = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2031-01-01T00:00:00Z")


@st.composite
def small_files(draw: st.DrawFn) -> list[dict[str, str]]:
    """Files in which a few accounts claim each other's ids and addresses, and refer each other."""
    names = st.sampled_from(["alice", "bob", "carol", "dave"])
    return [
        row(
            draw(names),
            email=f"{draw(names)}@example.com",
            registered_at=draw(st.sampled_from([INSTANTS[0], INSTANTS[0], INSTANTS[1], INSTANTS[2]])),
            referred_by=draw(st.sampled_from(["", "alice", "bob", "carol", "dave"])),
        )
        for _ in range(draw(st.integers(1, 7)))
    ]


def account_of(user: User) -> Account:
    """What the plain reading knows of an account that the engine has taken in."""
    return Account(
        user.account_id,
        user.email,
        user.account_type,
        user.country,
        user.registered_at or NOW,
        user.signup_attribution.get("referred_by", ""),
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(small_files(), min_size=1, max_size=2))
def test_files_are_judged_as_the_terms_read(files: list[list[dict[str, str]]]) -> None:
    """A reading that believes in whom the engine accepted accepts just those, and refuses the rest for its reasons.

    Where rows take the address of those who refer them, the terms may allow several such outcomes, or none.
    """
    plain = Programme((Terms(),), {})
    with transaction.atomic():
        before: set[str] = set()
        for rows in files:
            refused = take(*rows)
            accepted = {user.account_id: account_of(user) for user in User.objects.exclude(account_id__in=before)}
            tally, read = plain.read_accounts(rows, NOW, accepted, set())
            if read == accepted:
                assert refused == [f"{refusal.event_id}: {refusal.code}" for refusal in tally.refusals]
            else:
                assert not comes_to_rest(plain, rows)
            plain.register_all(accepted.values())
            before |= set(accepted)
        transaction.set_rollback(True)


def comes_to_rest(plain: Programme, rows: list[dict[str, str]]) -> bool:
    """Say whether any set of the rows, one an account, is just what a reading that believes in it accepts."""
    names = sorted({cells["account_id"] for cells in rows})
    choices = [[None, *(cells for cells in rows if cells["account_id"] == name)] for name in names]
    for chosen in product(*choices):
        believed = {cells["account_id"]: read_account(cells) for cells in chosen if cells}
        _, read = plain.read_accounts(rows, NOW, believed, set())
        if read == believed:
            return True
    return False


ROWS_FETCHED = "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables"


def rows_fetched() -> int:
    with connection.cursor() as cursor:
        cursor.execute(ROWS_FETCHED)
        return int(cursor.fetchone()[0])


def test_statistics_of_a_killed_import_do_not_slow_the_next() -> None:
    """After an import that was undone the statistics know of pages and of no rows; each row is still looked up once."""
    names = [f"name-{number}" for number in range(1000)]
    rows = [row(name, referred_by=names[number // 2] if number else "") for number, name in enumerate(names)]
    with transaction.atomic():
        take(*rows)
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_user, referrals_referral, credits_creditaccount, credits_coupon")
    before = rows_fetched()
    assert take(*rows) == []
    assert rows_fetched() - before < 100 * len(rows)


# The file and the command


def test_the_command_ends_with_one_line_of_counts(tmp_path: Path) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("alice"), row("alice"), row("bob", email="bob")])
    assert run(path) == "accepted=1 waiting=0 duplicate=1 refused=1"
    assert run(path) == "accepted=0 waiting=0 duplicate=2 refused=1"


def test_strict_exits_with_one_where_something_was_refused(tmp_path: Path) -> None:
    good = as_file(tmp_path / "good.csv", [row("alice")])
    bad = as_file(tmp_path / "bad.csv", [row("bob"), row("carol", email="")])
    assert run(good, "--strict") == "accepted=1 waiting=0 duplicate=0 refused=0"
    with pytest.raises(CommandError) as fault:
        run(bad, "--strict")
    assert fault.value.returncode == 1
    assert known() == {"alice", "bob"}


def test_rejects_hold_the_rows_as_they_stood(tmp_path: Path) -> None:
    path, rejects = tmp_path / "accounts.csv", tmp_path / "rejects.csv"
    path.write_bytes(
        b"\xef\xbb\xbfnote,referred_by,registered_at,country,account_type,email,account_id\r\n"
        b'"two\r\nlines",,2026-01-01T00:00:00Z,DE,individual,alice@example.com,alice\r\n'
        b"\r\n"
        b'"a ""quote""",,2026-01-01T00:00:00Z,DE,robot,bob@example.com,bob\r\n'
    )
    assert run(path, "--rejects", rejects) == "accepted=1 waiting=0 duplicate=0 refused=1"
    header, refused = csv.reader(StringIO(rejects.read_text()))
    assert header == ["line", "code", "message", *COLUMNS_OF_ANOTHER_ORDER]
    assert refused[:2] == ["5", "type"]
    assert refused[2]
    assert refused[3:] == ['a "quote"', "", "2026-01-01T00:00:00Z", "DE", "robot", "bob@example.com", "bob"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["accounts.csv", "rejects.csv"]


def test_rejects_of_a_clean_file_are_a_header(tmp_path: Path) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("alice")])
    rejects = tmp_path / "rejects.csv"
    rejects.write_text("from before")
    run(path, "--rejects", rejects)
    assert rejects.read_text() == "line,code,message," + ",".join(COLUMNS) + "\n"


HEADER = ",".join(COLUMNS).encode()
ALICE = b"alice,alice@example.com,individual,DE,2026-01-01T00:00:00Z,"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.replace(b",country", b"") + b"\n", "line 1: column country is missing"),
        (HEADER + b",email\n", "line 1: column email stands twice"),
        (HEADER + b"\n" + ALICE, "line 2: the last line is cut off"),
        (HEADER + b"\n" + ALICE + b"\nbob,bob@exam", "line 3: the last line is cut off"),
        (HEADER + b"\n" + ALICE + b"\nbob,bob@example.com\n", "line 3: has 2 fields where the header has 6"),
        (HEADER + b"\n" + ALICE + b"\n" + ALICE + b",x\n", "line 3: has 7 fields where the header has 6"),
        (HEADER + b"\n" + ALICE + b'\n"bob,bob@example.com\n', "line 3: a quote is opened and never closed"),
        (HEADER + b"\n" + ALICE + b'\n"bob"x,bob@example.com\n', "line 3: is not CSV"),
        (HEADER + b"\n" + ALICE + b"\nb\0b" + ALICE + b"\n", "line 3: holds a NUL byte"),
        (HEADER + b"\n" + ALICE + b"\nb\xf6b" + ALICE + b"\n", "line 3: is not UTF-8"),
        ((HEADER + b"\n" + ALICE + b"\n").decode().encode("utf-16"), "line 1: "),
        (HEADER + b"\n" + ALICE + b'\n"' + b"bob\n" * 100_000, "line 3: a field is too long"),
        (HEADER + b"\n" + ALICE + b"\n" + b"b" * 2_000_000 + b"\n", "line 3: the line is too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "accounts.csv"
    path.write_bytes(content)
    with pytest.raises(CommandError) as raised:
        run(path, "--rejects", tmp_path / "rejects.csv")
    assert str(path) in str(raised.value)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.returncode == 1
    assert not User.objects.exists()
    assert not ImportRun.objects.exists()
    assert not (tmp_path / "rejects.csv").exists()


def test_a_file_or_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("alice")])
    for arguments in (
        [tmp_path / "nowhere.csv"],
        [tmp_path],
        [path, "--rejects", tmp_path / "nowhere" / "rejects.csv"],
        [path, "--rejects", tmp_path],
    ):
        with pytest.raises(CommandError, match="cannot be"):
            run(*arguments)
    assert not User.objects.exists()


def test_rejects_never_replace_the_file_that_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("alice"), row("bob", email="")])
    content = path.read_bytes()
    (tmp_path / "link.csv").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for rejects in (path, tmp_path / "link.csv", Path("accounts.csv"), Path("..") / tmp_path.name / "accounts.csv"):
        with pytest.raises(CommandError, match="cannot be written: is the file to import"):
            run(path, "--rejects", rejects)
    assert path.read_bytes() == content
    assert not User.objects.exists()
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["accounts.csv", "link.csv"]


def test_two_imports_do_not_write_the_same_rejects_at_once(tmp_path: Path) -> None:
    path, rejects = as_file(tmp_path / "accounts.csv", [row("alice"), row("bob", email="")]), tmp_path / "rejects.csv"
    with FactFile(path, COLUMNS) as facts, RejectsFile(rejects, facts):
        with pytest.raises(CommandError, match="cannot be written: another import is writing it"):
            run(path, "--rejects", rejects)
        assert not User.objects.exists()
    assert run(path, "--rejects", rejects) == "accepted=1 waiting=0 duplicate=0 refused=1"


def test_a_header_alone_is_a_file_without_facts(tmp_path: Path) -> None:
    assert run(as_file(tmp_path / "accounts.csv", [])) == "accepted=0 waiting=0 duplicate=0 refused=0"


def test_a_file_recorded_but_not_finished_is_told_as_if_read_once(tmp_path: Path) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("alice"), row("bob", email="")])
    rejects = tmp_path / "rejects.csv"
    run(path)
    ImportRun.objects.update(finished_at=None)
    assert run(path, "--rejects", rejects) == "accepted=1 waiting=0 duplicate=0 refused=1"
    assert [line[:8] for line in rejects.read_text().splitlines()[1:]] == ["3,email,"]
    assert RefusedFact.objects.count() == 1


def test_rejects_get_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("alice")])
    before = os.umask(0o027)
    try:
        run(path, "--rejects", tmp_path / "rejects.csv")
    finally:
        os.umask(before)
    assert (tmp_path / "rejects.csv").stat().st_mode & 0o777 == 0o640


@pytest.mark.django_db(transaction=True)
def test_an_import_that_was_killed_leaves_nothing_and_ends_as_if_run_once(tmp_path: Path) -> None:
    path = as_file(tmp_path / "accounts.csv", [row("bob", referred_by="alice"), row("alice"), row("carol", email="")])
    rejects = tmp_path / "rejects.csv"
    interrupt("import_accounts", path, "--rejects", rejects, before_line=1)
    assert known() == set()
    assert [each.name for each in sorted(tmp_path.iterdir())] == [".rejects.csv.draft", "accounts.csv"]
    assert run(path, "--rejects", rejects) == "accepted=2 waiting=0 duplicate=0 refused=1"
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["accounts.csv", "rejects.csv"]
    assert run(path) == "accepted=0 waiting=0 duplicate=2 refused=1"


@pytest.mark.django_db(transaction=True)
def test_an_address_that_signs_up_meanwhile_is_judged_again(tmp_path: Path) -> None:
    """Somebody's sign-up with one of the addresses commits after the rows were judged, and gives way all the same."""
    connection.ensure_connection()
    late = psycopg2.connect(dsn())
    with late, late.cursor() as cursor:
        cursor.execute(SIGN_UP)
        importing = Thread(target=import_alice)
        importing.start()
        until_waiting(1)
    importing.join(timeout=20)
    late.close()
    assert known() == {"alice"}
    assert User.objects.count() == 1


SIGN_UP = """
INSERT INTO accounts_user (password, is_superuser, account_id, email, account_type, country, time_zone, created_at,
                           signup_attribution, is_staff, is_active)
VALUES ('!', false, 'sign-up', 'alice@example.com', 'individual', '', 'UTC', now(), '{}', false, true)
"""


def dsn() -> str:
    return str(connection.connection.dsn)


def import_alice() -> None:
    try:
        assert take(row("alice")) == []
    finally:
        connection.close()
