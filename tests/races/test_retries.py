"""Deadlocks and serialization failures: an operation that was undone begins anew, a bounded number of times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from io import StringIO
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.test import Client
from djmoney.money import Money

from accounts import retries
from accounts.models import ImportRun, User
from accounts.operations import (
    add_payment_method,
    advance_run,
    confirm_address,
    imports,
    pass_verification,
    sign_up,
    start_run,
)
from accounts.operations import register as registered
from accounts.retries import MOST_TRIES, conflicts, retried
from billing.models import SpendEvent
from billing.operations import spend
from credits.models import Coupon
from credits.operations import RedemptionFact, give_back, lock_accounts, record_redemptions, redeem, redemptions
from referrals.models import Referral
from referrals.operations import open_flag, refuse, settle, track
from tests.facts import NOW, day, fact, record, register
from tests.newcomers import PASSWORD, confirm, fill_in, identity
from tests.races.racing import at_once, names

pytestmark = pytest.mark.django_db(transaction=True)

FAIL = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('failures') <= {times} THEN RAISE SQLSTATE '{sqlstate}'; END IF;
    RETURN new;
END $$;
CREATE {trigger} EXECUTE FUNCTION fail_at_first()
"""
AT_THE_STATEMENT = "TRIGGER fail_at_first BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT"
AT_COMMIT = """
CONSTRAINT TRIGGER fail_at_first AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
"""
FAIL_NO_MORE = "DROP TRIGGER fail_at_first ON {table}; DROP FUNCTION fail_at_first(); DROP SEQUENCE failures"


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def bob(alice: User) -> User:
    """A friend of alice, with a payout granted to her."""
    friend = register("bob", referred_by=alice)
    record(fact(friend, "p1", "25", day(1, 5)))
    settle(as_of=day(3, 1), now=NOW)
    return friend


@contextmanager
def failing(table: str, times: int, sqlstate: str = "40P01", *, trigger: str = AT_THE_STATEMENT) -> Iterator[None]:
    """Let the first writes to this table be undone, as a deadlock undoes a statement, or a conflict a commit."""
    with connection.cursor() as cursor:
        cursor.execute(FAIL.format(trigger=trigger.format(table=table), times=times, sqlstate=sqlstate))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(FAIL_NO_MORE.format(table=table))


def counted(act: Callable[[], object]) -> dict[tuple[str, str, str], int]:
    """Return what the act adds to the counts."""
    before = conflicts.counts()
    act()
    after = conflicts.counts()
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}


def crosswise(first: User, second: User, *, whole: Callable[..., Callable[..., object]]) -> list[str]:
    """Let two connections lock two accounts, each from its own end, and say how they ended."""
    both_have_one = threading.Barrier(2, timeout=20)

    def locker(one: User, other: User) -> Callable[[], object]:
        tries = count(1)

        def lock_both() -> None:
            with transaction.atomic():
                lock_accounts(customer_ids=[one.pk])
                if next(tries) == 1:
                    both_have_one.wait()
                lock_accounts(customer_ids=[other.pk])

        return whole(lock_both)

    return names(at_once(locker(first, second), locker(second, first)))


def test_a_deadlock_is_tried_again_and_both_succeed(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    carol = register("carol")
    ends: list[str] = []
    added = counted(lambda: ends.extend(crosswise(alice, carol, whole=retried)))
    assert ends == ["done", "done"]
    assert [(kind, outcome, count) for (_, kind, outcome), count in added.items()] == [("deadlock", "retried", 1)]
    assert "deadlock in" in caplog.text


def test_control_without_the_retry_one_of_them_fails(alice: User) -> None:
    assert crosswise(alice, register("carol"), whole=lambda operation: operation) == ["OperationalError", "done"]


@pytest.mark.parametrize(("sqlstate", "kind"), [("40P01", "deadlock"), ("40001", "serialization failure")])
def test_the_last_try_raises(alice: User, sqlstate: str, kind: str) -> None:
    tries: list[int] = []

    @retried
    def fail() -> None:
        tries.append(1)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")

    def give_up() -> None:
        with pytest.raises(OperationalError):
            fail()

    added = counted(give_up)
    assert len(tries) == MOST_TRIES
    assert {key[1:]: count for key, count in added.items()} == {(kind, "retried"): MOST_TRIES - 1, (kind, "gave up"): 1}


@pytest.mark.parametrize("sqlstate", ["55P03", "57014"])
def test_another_error_is_not_tried_again(alice: User, sqlstate: str) -> None:
    tries: list[int] = []

    @retried
    def fail() -> None:
        tries.append(1)
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")

    with pytest.raises(OperationalError):
        fail()
    assert len(tries) == 1


def test_within_a_transaction_the_error_goes_to_whoever_opened_it(bob: User) -> None:
    """The inner operation cannot begin anew: what stood before it is undone too."""
    with failing("billing_spendevent", times=1):
        with pytest.raises(OperationalError), transaction.atomic():
            record(fact(bob, "p2", "5"))
        assert not SpendEvent.objects.filter(event_id="p2").exists()

        @retried
        def both() -> None:
            with transaction.atomic():
                record(fact(bob, "p2", "5"))

        both()
    assert SpendEvent.objects.filter(event_id="p2").count() == 1


def redeem_five(alice: User) -> object:
    return redeem(
        source="test",
        redemption_id="order",
        customer_id=alice.pk,
        amount=Money(5, "USD"),
        occurred_at=day(3, 2),
        now=NOW,
    )


def return_five(alice: User) -> object:
    redeem_five(alice)
    return give_back(
        source="test",
        redemption_id="order",
        return_id="return",
        amount=Money(5, "USD"),
        occurred_at=day(3, 3),
        now=NOW,
    )


def begin(email: str = "dave@example.com") -> User:
    return sign_up(email=email, password=PASSWORD, country="DE", attribution={}, now=NOW)


def confirm_dave(dave: User) -> object:
    return confirm_address(user_id=dave.pk, confirm=lambda: registered(user_id=dave.pk, now=NOW))


def verify(alice: User) -> object:
    return pass_verification(user_id=alice.pk, identity=identity("P1"), account_type="enterprise", now=NOW)


def hold(referral: Referral) -> object:
    return open_flag(
        referral_id=referral.pk, rule="a test", severity="hold", evidence={}, actor=None, reason="a test", now=NOW
    )


ACTS: dict[str, tuple[str, Callable[[User, Referral], object]]] = {
    "record_spend": ("billing_spendevent", lambda alice, _: record(fact("bob", "p2", "5"))),
    "track": ("referrals_referral", lambda alice, _: record(fact("bob", "p2", "5")) and track(now=NOW)),
    "redeem": ("credits_coupon", lambda alice, _: redeem_five(alice)),
    "record_redemptions": (
        "credits_coupon",
        lambda alice, _: record_redemptions(
            source="billing", facts=[RedemptionFact(2, "r", "alice", "5", day(3, 2).isoformat())], now=NOW
        ),
    ),
    "give_back": ("credits_redemptionreturn", lambda alice, _: return_five(alice)),
    "settle": ("credits_couponentry", lambda alice, _: settle(as_of=day(12, 1), now=NOW)),
    "open_flag": ("referrals_decision", lambda _, referral: hold(referral)),
    "refuse": (
        "referrals_decision",
        lambda _, referral: refuse(referral_id=referral.pk, actor=None, reason="a test", now=NOW),
    ),
    "sign_up": ("accounts_user", lambda *_: begin()),
    "confirm_address": ("credits_coupon", lambda *_: confirm_dave(begin())),
    "pass_verification": ("credits_coupon", lambda alice, _: verify(alice)),
    "add_payment_method": ("accounts_user", lambda alice, _: add_payment_method(user_id=alice.pk, now=NOW)),
    "start_run": ("accounts_importrun", lambda *_: start_run(kind="spend", file_digest="one", now=NOW)),
}


@pytest.mark.parametrize("trigger", [AT_THE_STATEMENT, AT_COMMIT], ids=["statement", "commit"])
@pytest.mark.parametrize("name", ACTS)
def test_every_operation_that_locks_begins_anew(alice: User, bob: User, name: str, trigger: str) -> None:
    """Undone twice, it leaves one trace, and the books add up."""
    table, act = ACTS[name]
    with failing(table, times=2, trigger=trigger):
        added = counted(lambda: act(alice, Referral.objects.get(friend=bob)))
    assert sum(added.values()) == 2
    assert {outcome for _, _, outcome in added} == {"retried"}
    assert Coupon.objects.get(kind="payout").amount.amount == Decimal(20)


def test_a_wait_is_short() -> None:
    """All tries together take less time than a reader notices."""
    assert sum(retries.FIRST_WAIT * 2**place for place in range(MOST_TRIES - 1)) < 0.5


FILES = {
    "import_accounts": (
        "account_id,email,account_type,country,registered_at,referred_by",
        "carol,carol@example.com,individual,DE,2026-01-01T00:00:00Z,",
        "dave,dave@example.com,individual,DE,2026-01-01T00:00:00Z,carol",
    ),
    "import_spend": (
        "event_id,account_id,type,product,currency,amount,occurred_at,payment_id",
        "p2,bob,payment,ecs,USD,5,2026-02-01T00:00:00Z,",
        "r2,bob,refund,,USD,1,2026-02-01T00:00:00Z,p2",
    ),
    "import_redemptions": (
        "redemption_id,account_id,amount,occurred_at",
        "o1,alice,5,2026-03-02T00:00:00Z",
        "o2,alice,5,2026-03-02T00:00:00Z",
    ),
}


def read_file(command: str, folder: Path) -> str:
    """Import the command's file, a row a transaction where it can be; return what it says in the end."""
    path, said = folder / "facts.csv", StringIO()
    path.write_text("\n".join(FILES[command]) + "\n")
    chunks = {} if command == "import_accounts" else {"chunk_size": 1}
    call_command(command, str(path), stdout=said, **chunks)
    return said.getvalue().splitlines()[-1]


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("trigger", [AT_THE_STATEMENT, AT_COMMIT], ids=["statement", "commit"])
def test_an_import_that_is_undone_goes_on_from_where_it_was(
    bob: User, tmp_path: Path, command: str, trigger: str
) -> None:
    with failing("accounts_importrun", times=3, trigger=trigger):
        assert read_file(command, tmp_path) == "accepted=2 waiting=0 duplicate=0 refused=0"
    run = ImportRun.objects.get()
    assert (run.lines_done, run.accepted) == (3, 2)
    assert run.finished_at is not None


@pytest.mark.parametrize(
    ("module", "command"),
    [(imports, "import_accounts"), (spend, "import_spend"), (redemptions, "import_redemptions")],
)
def test_control_a_run_that_moves_before_the_commit_overtakes_itself(
    bob: User, tmp_path: Path, module: ModuleType, command: str
) -> None:
    """Its reader would believe that the lines are done which the database has undone."""

    def move_at_once(*, run: ImportRun, lines_done: int, **rest: Any) -> None:
        advance_run(run=run, lines_done=lines_done, **rest)
        run.lines_done = lines_done

    with (
        patch.object(module, "advance_run", move_at_once),
        # after the insert of the run, which is its start
        failing("accounts_importrun", times=1, trigger=AT_COMMIT.replace("INSERT OR ", "")),
        pytest.raises(CommandError, match="another process"),
    ):
        read_file(command, tmp_path)


def test_a_confirmation_that_is_undone_says_so_once(client: Client) -> None:
    fill_in(client, "dave@example.com")
    with failing("account_emailaddress", times=2, trigger=AT_COMMIT):
        added = counted(lambda: confirm(client))
    assert list(added.values()) == [2]
    assert User.objects.get().is_registered
    page = client.get("/", follow=True).content.decode()
    assert page.count("dave@example.com is confirmed.") == 1
