"""What has changed since a cursor: nothing is passed over, in whatever order transactions commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction
from djmoney.money import Money

from accounts import lists
from accounts.models import User
from credits.models import Coupon, CouponEntry
from credits.operations import redeem
from referrals.models import Referral, ReferralChange, Reward
from referrals.operations import (
    forget_changes,
    lift_refusal,
    open_flag,
    refuse,
    release_flag,
    settle,
    settlement,
    track,
)
from tests.api_calls import Caller
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.races.racing import LONGEST_WAIT, replaced, until

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = ("referrals", "rewards", "coupons", "entries")
KEYS = {"referrals": "referral_id", "rewards": "reward_id", "coupons": "coupon_id", "entries": "entry_id"}
MODELS: dict[str, Any] = {"referrals": Referral, "rewards": Reward, "coupons": Coupon, "entries": CouponEntry}


OPEN_ELSEWHERE = """
SELECT backend_xid::text FROM pg_stat_activity WHERE datname <> current_database() AND backend_xid IS NOT NULL
"""


class PatientCaller(Caller):
    """Asks once nothing else holds the horizon back: other processes of the tests work in other databases of the same
    server, where a transaction that is open does so as one of ours would."""

    def get(self, path: str, **asked: Any) -> tuple[int, dict[str, Any]]:
        let_other_databases_end()
        return super().get(path, **asked)


@pytest.fixture
def caller() -> Caller:
    return PatientCaller("credit:read", "referrals:read")


@pytest.fixture
def alice() -> User:
    return referrer_with_a_payout_due("alice")


@pytest.fixture
def dora() -> User:
    return referrer_with_a_payout_due("dora")


def referrer_with_a_payout_due(name: str) -> User:
    referrer = register(name)
    record(fact(register(f"friend of {name}", referred_by=referrer), f"paid for {name}", "20", day(1, 5)))
    track(now=NOW)
    return referrer


def settled(referrer: User) -> None:
    settlement._settle_chunk([referrer.pk], day(3, 1), NOW, skip_locked=False)


def ids(answer: dict[str, Any], name: str) -> list[int]:
    return [row[KEYS[name]] for row in answer[name]]


def now_at(caller: Caller, name: str) -> str:
    """The cursor from which changes of a list are asked for."""
    return str(caller.get(name)[1]["changes"])


def let_other_databases_end() -> None:
    """Wait for what is open now in other databases of the server."""
    others = open_elsewhere()
    until(lambda: not others & open_elsewhere(), within=120)


def open_elsewhere() -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(OPEN_ELSEWHERE)
        return {int(number) for (number,) in cursor.fetchall()}


def news(caller: Caller, name: str, since: str, *, limit: int = 200) -> tuple[list[int], str]:
    """Follow a list of changes to its end; return whose they are, and the cursor to go on from."""
    found: list[int] = []
    while True:
        status, answer = caller.get(name, since=since, limit=limit)
        assert status == 200
        assert len(answer[name]) <= limit
        found, since = found + ids(answer, name), answer["changes"]
        if answer["next"] is None:
            return found, since
        assert answer["next"] == since


@contextmanager
def not_yet_committed(work: Callable[[], object]) -> Iterator[None]:
    """Do the work in a transaction on another connection, which commits with the end of the block."""
    done, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                work()
                done.set()
                assert go_on.wait(LONGEST_WAIT)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert done.wait(LONGEST_WAIT)
    try:
        yield
    finally:
        go_on.set()
        thread.join(LONGEST_WAIT)


def read_while_an_older_one_is_open(caller: Caller, name: str, alice: User, dora: User) -> tuple[set[int], set[int]]:
    """Alice's settlement begins, dora's commits, changes are read, alice's commits, and changes are read on.

    Return what was read in all, and what was written.
    """
    before, since = set(MODELS[name].objects.values_list("pk", flat=True)), now_at(caller, name)
    with not_yet_committed(lambda: settled(alice)):
        settled(dora)
        first, since = news(caller, name, since)
    second, _ = news(caller, name, since)
    after = set(MODELS[name].objects.values_list("pk", flat=True))
    return {*first, *second}, before if name == "referrals" else after - before


@pytest.mark.parametrize("name", LISTS)
def test_what_commits_late_is_listed_though_a_younger_one_was_read(
    caller: Caller, name: str, alice: User, dora: User
) -> None:
    read, written = read_while_an_older_one_is_open(caller, name, alice, dora)
    assert read == written
    assert len(written) == 2


@pytest.mark.parametrize("name", LISTS)
def test_control_without_the_horizon_what_commits_late_is_lost(
    caller: Caller, name: str, alice: User, dora: User
) -> None:
    with replaced(lists, "HORIZON", "pg_snapshot_xmin", "pg_snapshot_xmax"):
        read, written = read_while_an_older_one_is_open(caller, name, alice, dora)
    assert len(written - read) == 1


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_begun_while_one_is_open_finds_it_among_the_changes(
    caller: Caller, name: str, alice: User, dora: User
) -> None:
    with not_yet_committed(lambda: settled(alice)):
        settled(dora)
        listed = caller.get(name, limit=200)[1]
    found, _ = news(caller, name, listed["changes"])
    everything = set(MODELS[name].objects.values_list("pk", flat=True))
    assert {*ids(listed, name), *found} == everything
    assert len(found) >= 1


@pytest.mark.parametrize("name", LISTS)
def test_what_changes_while_pages_are_read_is_found_from_any_of_them(
    caller: Caller, name: str, alice: User, dora: User
) -> None:
    settled(alice)
    first = caller.get(name, limit=1)[1]
    settled(dora)
    last, seen = first, ids(first, name)
    while last["next"]:
        last = caller.get(name, limit=1, cursor=last["next"])[1]
        seen += ids(last, name)
    found, _ = news(caller, name, last["changes"])
    assert seen == sorted(set(seen))
    assert {*seen, *found} == set(MODELS[name].objects.values_list("pk", flat=True))
    assert found == news(caller, name, first["changes"])[0]
    assert len(found) == 1


@pytest.mark.parametrize("limit", [1, 2, 200])
def test_changes_come_in_pages_without_a_gap(caller: Caller, alice: User, limit: int) -> None:
    since = now_at(caller, "entries")
    settled(alice)
    for number in range(4):
        spend(alice, f"order-{number}")
    found, after = news(caller, "entries", since, limit=limit)
    assert found == list(CouponEntry.objects.exclude(reference__startswith="trial").values_list("pk", flat=True))[-5:]
    assert news(caller, "entries", after)[0] == []


def spend(customer: User, redemption_id: str) -> None:
    of: dict[str, Any] = {"source": "console", "customer_id": customer.pk, "amount": Money(1, "USD")}
    redeem(redemption_id=redemption_id, occurred_at=day(3, 2), now=NOW, **of)


def test_a_coupon_comes_once_a_page_and_again_when_it_changes_again(caller: Caller, alice: User) -> None:
    since = now_at(caller, "coupons")
    settled(alice)
    spend(alice, "first")
    coupon = Coupon.objects.get(kind="payout").pk
    answer = caller.get("coupons", since=since)[1]
    assert ids(answer, "coupons") == [coupon]
    assert answer["coupons"][0]["redeemed"] == "1.00"
    spend(alice, "second")
    assert news(caller, "coupons", answer["changes"])[0] == [coupon]


def test_every_step_of_a_referral_is_a_change(caller: Caller, alice: User) -> None:
    referral = Referral.objects.get()
    friend, staff = referral.friend, User.objects.create_user("staff@example.com", is_staff=True, created_at=NOW)
    by: dict[str, Any] = {"actor": staff, "reason": "A doubt.", "now": day(3, 2)}

    def hold() -> int:
        return open_flag(referral_id=referral.pk, rule="r", severity="hold", evidence={}, **by).pk

    def spend_more() -> None:
        record(fact(friend, "more", "5", day(1, 6)))
        track(now=NOW)

    def charge_back() -> None:
        record(chargeback(friend, "back", "20", "paid for alice"))
        settle(as_of=day(3, 3), now=NOW)

    flags: list[int] = []
    steps: list[tuple[Callable[[], Any], str]] = [
        (lambda: settled(alice), "paid"),
        (spend_more, "paid"),
        (lambda: flags.append(hold()), "held"),
        (lambda: release_flag(flag_id=flags[0], **by), "paid"),
        (lambda: refuse(referral_id=referral.pk, **by), "refused"),
        (lambda: lift_refusal(referral_id=referral.pk, **by), "paid"),
        (charge_back, "clawed_back"),
    ]
    since = now_at(caller, "referrals")
    for step, status in steps:
        step()
        answer = caller.get("referrals", since=since)[1]
        assert [row["status"] for row in answer["referrals"]] == [status], step
        since = answer["changes"]


def test_a_new_referral_is_a_change(caller: Caller, alice: User) -> None:
    since = now_at(caller, "referrals")
    eve = register("eve", referred_by=alice)
    assert news(caller, "referrals", since)[0] == [Referral.objects.get(friend=eve).pk]


def test_a_referral_is_noted_once_a_transaction_and_not_when_it_is_undone(alice: User) -> None:
    before = ReferralChange.objects.count()
    with transaction.atomic():
        for _ in range(3):
            Referral.objects.update(held=True)
        assert ReferralChange.objects.count() == before + 1
        transaction.set_rollback(True)
    assert ReferralChange.objects.count() == before


def touch_referrals() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE referrals_referral SET qualifying_spend = qualifying_spend")


def test_notes_that_were_overtaken_go_and_the_last_one_stays(caller: Caller, alice: User) -> None:
    since = now_at(caller, "referrals")
    for _ in range(3):
        touch_referrals()
    written = ReferralChange.objects.count()
    let_other_databases_end()
    assert forget_changes() == written - 1 > 2
    assert forget_changes() == 0
    assert news(caller, "referrals", since)[0] == [Referral.objects.get().pk]


def test_a_note_stays_while_an_older_transaction_may_still_add_to_what_is_read(caller: Caller, alice: User) -> None:
    let_other_databases_end()
    forget_changes()
    with not_yet_committed(lambda: User.objects.filter(pk=alice.pk).update(country="DE")):
        touch_referrals()
        assert forget_changes() == 0
    let_other_databases_end()
    assert forget_changes() == 1


def test_what_sql_writes_is_listed_too(caller: Caller, alice: User) -> None:
    since = now_at(caller, "referrals")
    touch_referrals()
    assert news(caller, "referrals", since)[0] == [Referral.objects.get().pk]


def test_changes_can_be_narrowed_like_the_list(caller: Caller, alice: User, dora: User) -> None:
    since = {name: now_at(caller, name) for name in LISTS}
    settled(alice)
    settled(dora)
    for name in LISTS:
        answer = caller.get(name, since=since[name], account_id="alice")[1]
        assert len(answer[name]) == 1, name
    assert caller.get("coupons", since=since["coupons"], state="revoked", kind="payout")[1]["coupons"] == []
    assert len(caller.get("referrals", since=since["referrals"], state="paid")[1]["referrals"]) == 2
    assert caller.get("entries", since=since["entries"], type="REDEEM")[1]["entries"] == []
    assert len(caller.get("rewards", since=since["rewards"], to="2026-03-01T00:00:00.000001Z")[1]["rewards"]) == 2


# Cursors


def tampered(cursor: str) -> Iterator[str]:
    value, signature = cursor.split(".")
    yield from (f"{value[:-2]}AA.{signature}", f"{value}.{signature[:-1]}", f".{signature}", value, "x", "..", "é")


@pytest.mark.parametrize("name", LISTS)
def test_a_cursor_that_was_changed_is_refused(caller: Caller, name: str, alice: User, dora: User) -> None:
    settled(alice)
    settled(dora)
    page, since = (caller.get(name, limit=1)[1][which] for which in ("next", "changes"))
    for parameter, cursor in (("cursor", page), ("since", since)):
        for wrong in [*tampered(cursor), page if parameter == "since" else since]:
            status, problem = caller.get(name, **{parameter: wrong})
            assert (status, problem["code"]) == (422, "cursor"), wrong
    assert caller.get(name, cursor=page, since=since)[1]["code"] == "cursor"


def test_a_cursor_of_another_list_is_refused(caller: Caller) -> None:
    cursors = {name: now_at(caller, name) for name in LISTS}
    for name in LISTS:
        for other, cursor in cursors.items():
            assert caller.get(name, since=cursor)[0] == (200 if name == other else 422)


def test_a_cursor_of_another_database_is_refused(caller: Caller, alice: User) -> None:
    """As after a restore from a dump, whose server has an identifier of its own and counts anew."""
    settled(alice)
    page, since = (caller.get("coupons", limit=1)[1][which] for which in ("next", "changes"))
    with replaced(lists, "HORIZON", "system_identifier", "7"):
        assert caller.get("coupons", since=since)[1]["code"] == "cursor"
        assert caller.get("coupons", cursor=page)[1]["code"] == "cursor"
    assert caller.get("coupons", since=since)[0] == 200


def test_a_cursor_ahead_of_the_database_is_refused(caller: Caller) -> None:
    """As where an older state was brought back, or a copy that lags is asked."""
    since = now_at(caller, "coupons")
    with replaced(lists, "HORIZON", "pg_snapshot_xmin(pg_current_snapshot())", "'3'"):
        assert caller.get("coupons", since=since)[1]["code"] == "cursor"
