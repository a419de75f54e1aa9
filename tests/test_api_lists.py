"""The API's lists: what a row of referrals, rewards, coupons and movements says, pages, filters, and their cost."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from djmoney.money import Money

from accounts import lists
from accounts.models import User
from credits.models import Coupon, CouponEntry
from credits.operations import redeem
from referrals.models import Referral, Reward
from referrals.operations import settle
from tests.api_calls import Caller
from tests.facts import NOW, chargeback, day, dispute_won, fact, record, register
from tests.story import cause_everything
from tests.test_statement_counts import grow

pytestmark = pytest.mark.django_db

KEYS = {"referrals": "referral_id", "rewards": "reward_id", "coupons": "coupon_id", "entries": "entry_id"}
SCOPES = {
    "referrals": "referrals:read",
    "rewards": "referrals:read",
    "coupons": "credit:read",
    "entries": "credit:read",
}
MODELS: dict[str, Any] = {"referrals": Referral, "rewards": Reward, "coupons": Coupon, "entries": CouponEntry}
by_list = pytest.mark.parametrize("name", KEYS)


@pytest.fixture
def story(time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    cause_everything()


@pytest.fixture
def caller() -> Caller:
    return Caller("credit:read", "referrals:read")


def pages(caller: Caller, name: str, **asked: object) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a list, from the first to the last."""
    cursor = ""
    while True:
        status, answer = caller.get(name, **asked, **({"cursor": cursor} if cursor else {}))
        assert status == 200, answer
        yield answer[name]
        if answer["next"] is None:
            return
        cursor = answer["next"]


def rows(caller: Caller, name: str, **asked: object) -> list[dict[str, Any]]:
    return [row for page in pages(caller, name, **asked) for row in page]


def exported(what: str) -> list[dict[str, str]]:
    out = StringIO()
    call_command(f"export_{what}", to="-", stdout=out, stderr=StringIO())
    return list(csv.DictReader(out.getvalue().splitlines()))


@pytest.mark.parametrize("what", ["referrals", "coupons", "entries"])
def test_a_row_says_what_the_export_says(caller: Caller, story: None, what: str) -> None:
    columns = exported(what)
    listed = [{name: written(row[name]) for name in columns[0]} for row in rows(caller, what)]
    assert listed == columns


def written(value: object) -> str:
    """Write a value as the exports do."""
    text = "" if value is None else str(value)
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def test_a_reward_says_how_it_was_given(caller: Caller, story: None) -> None:
    listed = rows(caller, "rewards")
    assert len(listed) == Reward.objects.count()
    for row, reward in zip(listed, Reward.objects.order_by("pk"), strict=True):
        assert (row["reward_id"], row["referral_id"], row["coupon_id"]) == (
            reward.pk,
            reward.referral_id,
            reward.coupon_id,
        )
        assert (row["kind"], row["n"], row["amount"]) == (reward.kind, reward.n, str(reward.amount.amount))
        assert (row["account_id"], row["friend_id"]) == (
            reward.referral.referrer.account_id,
            reward.referral.friend.account_id,
        )
        assert row["state"] == ("coupon" if reward.coupon else "debts")


def test_no_list_names_an_address_or_a_reason(caller: Caller, story: None) -> None:
    said = str([rows(caller, name) for name in KEYS])
    assert "@" not in said
    assert "doubt" not in said


@by_list
@pytest.mark.parametrize("limit", [1, 3, 200])
def test_pages_hold_every_row_once(caller: Caller, story: None, name: str, limit: int) -> None:
    listed = list(pages(caller, name, limit=limit))
    assert [row[KEYS[name]] for page in listed for row in page] == list(
        MODELS[name].objects.order_by("pk").values_list("pk", flat=True)
    )
    assert {len(page) for page in listed[:-1]} <= {limit}


@by_list
def test_a_full_last_page_is_the_last(caller: Caller, story: None, name: str) -> None:
    count = MODELS[name].objects.count()
    if count <= 200:
        answer = caller.get(name, limit=count)[1]
        assert (len(answer[name]), answer["next"]) == (count, None)


@by_list
def test_each_row_is_found_by_its_id(caller: Caller, story: None, name: str) -> None:
    for row in rows(caller, name)[:20]:
        assert caller.get(f"{name}/{row[KEYS[name]]}") == (200, row)


@by_list
@pytest.mark.parametrize("key", ["0", "-1", "987654321", str(2**63), "9" * 40])
def test_what_is_not_there_is_not_found(caller: Caller, name: str, key: str) -> None:
    status, problem = caller.get(f"{name}/{key}")
    assert (status, problem["code"]) == (404, KEYS[name].removesuffix("_id"))


@by_list
@pytest.mark.parametrize("key", ["x", "1.5", "1e3", "%00", "9" * 5000])
def test_what_is_no_id_is_refused(caller: Caller, name: str, key: str) -> None:
    assert caller.get(f"{name}/{key}")[0] == 422


@by_list
def test_a_list_is_for_its_scope(name: str) -> None:
    scope = SCOPES[name]
    assert Caller(scope).get(name)[0] == 200
    (other,) = set(SCOPES.values()) - {scope}
    for path in (name, f"{name}/1"):
        assert Caller(other, "credit:redeem", "spend:write").get(path)[0] == 403


# Filters


def test_rewards_of_which_debts_had_all(caller: Caller, time_machine: Any) -> None:
    """The payout is spent and charged back; the dispute is won, and what is granted again settles the debt whole."""
    alice = register("alice")
    bob = register("bob", referred_by=alice)
    record(fact(bob, "p", "20", day(1, 5)))
    settle(as_of=day(3, 1), now=NOW)
    order: dict[str, Any] = {"source": "console", "redemption_id": "o", "customer_id": alice.pk}
    redeem(**order, amount=Money(20, "USD"), occurred_at=day(3, 2), now=NOW)
    record(chargeback(bob, "c", "20", "p"))
    settle(as_of=day(3, 3), now=NOW)
    record(dispute_won(bob, "w", "20", "p"))
    settle(as_of=day(3, 4), now=NOW)
    assert [(row["n"], row["coupon_id"], row["debts_settled"]) for row in rows(caller, "rewards", state="debts")] == [
        (2, None, "20.00")
    ]
    assert [row["n"] for row in rows(caller, "rewards", state="coupon")] == [1]


def test_rows_of_an_account(caller: Caller, story: None) -> None:
    assert {row["account_id"] for row in rows(caller, "coupons", account_id="alice")} == {"alice"}
    assert {row["account_id"] for row in rows(caller, "entries", account_id="alice")} == {"alice"}
    assert {row["account_id"] for row in rows(caller, "rewards", account_id="alice")} == {"alice"}
    assert {row["friend_id"] for row in rows(caller, "referrals", account_id="alice")} == {
        "bob",
        "cem",
        "dan",
        "eve",
        "fay",
    }
    assert [row["friend_id"] for row in rows(caller, "referrals", account_id="bob")] == ["bob"]


@by_list
def test_an_unknown_account_has_no_rows(caller: Caller, story: None, name: str) -> None:
    assert rows(caller, name, account_id="nobody") == []


@pytest.mark.parametrize(
    ("name", "parameter", "field"),
    [
        ("referrals", "state", "status"),
        ("rewards", "kind", "kind"),
        ("coupons", "state", "state"),
        ("coupons", "kind", "kind"),
        ("entries", "type", "type"),
    ],
)
def test_rows_of_a_state(caller: Caller, story: None, name: str, parameter: str, field: str) -> None:
    everything = rows(caller, name)
    values = {row[field] for row in everything}
    assert len(values) > 1
    for value in values:
        assert rows(caller, name, **{parameter: value}) == [row for row in everything if row[field] == value]
    assert caller.get(name, **{parameter: "other"})[1]["code"] == "invalid"


@pytest.mark.parametrize(
    ("name", "field"),
    [("referrals", "registered_at"), ("rewards", "granted_at"), ("coupons", "issued_at"), ("entries", "occurred_at")],
)
def test_rows_of_a_span_of_time_begin_with_it_and_end_before_its_end(
    caller: Caller, story: None, name: str, field: str
) -> None:
    everything = rows(caller, name)
    instants = sorted({row[field] for row in everything})
    start, end = instants[0], instants[-1]
    assert rows(caller, name, **{"from": start}) == everything
    assert rows(caller, name, to=end) == [row for row in everything if row[field] < end]
    between = {"from": start.replace("+00:00", "Z"), "to": end.replace("T", "t")}
    assert rows(caller, name, **between) == [row for row in everything if row[field] < end]


@by_list
def test_a_time_may_have_any_offset(caller: Caller, story: None, name: str) -> None:
    everything = rows(caller, name)
    assert rows(caller, name, **{"from": "1970-01-01T23:59:00+23:59", "to": "3000-01-01T00:00:00-23:59"}) == everything
    assert rows(caller, name, to="1970-01-01T23:59:00+23:59") == []
    assert rows(caller, name, **{"from": "0001-01-01T00:00:00+00:01", "to": "9999-12-31T23:59:59-00:01"}) == everything


@by_list
@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "many"},
        {"limit": ""},
        {"from": "2026-01-01"},
        {"from": "2026-01-01T00:00:00"},
        {"to": "1767225600"},
        {"to": "soon"},
        {"to": "2026-13-01T00:00:00Z"},
        {"account_id": ""},
        {"account_id": "\0"},
        {"account_id": "x" * 101},
        {"account": "alice"},
        {"cursor": "x" * 501},
    ],
)
def test_what_makes_no_sense_is_refused(caller: Caller, name: str, asked: dict[str, object]) -> None:
    status, problem = caller.get(name, **asked)
    assert (status, problem["code"]) == (422, "invalid")
    assert problem["errors"][0]["at"] == ["query", *asked]


# What a page costs

FEW, MANY = 10, 10_000


@pytest.fixture
def many() -> User:
    """A referrer of 10,000 friends, with a coupon for every second one."""
    alice = register("alice")
    grow(alice, 1, FEW)
    return alice


def statements_of(caller: Caller, path: str, **asked: object) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert caller.get(path, **asked)[0] == 200
    return len(captured)


@by_list
@pytest.mark.parametrize("asked", [{}, {"account_id": "alice", "from": "2020-01-01T00:00:00Z"}], ids=["all", "some"])
def test_a_page_takes_as_many_statements_however_many_rows(
    caller: Caller, many: User, name: str, asked: dict[str, str]
) -> None:
    changes = caller.get(name)[1]["changes"]
    few = [statements_of(caller, name, **asked), statements_of(caller, name, since=changes, **asked)]
    grow(many, FEW + 1, 1000)
    assert [statements_of(caller, name, **asked), statements_of(caller, name, since=changes, **asked)] == few
    # The key, the horizon, perhaps the account, and the rows.
    assert max(few) <= 4 + len(asked) // 2


@by_list
def test_page_1000_reads_as_much_of_the_tables_as_page_1(caller: Caller, many: User, name: str) -> None:
    """`manage.py bench --only page-api-lists` has the times; this does not depend on who else is at work."""
    grow(many, FEW + 1, MANY)
    limit = MODELS[name].objects.count() // 1000
    pks = list(MODELS[name].objects.order_by("pk").values_list("pk", flat=True))
    cursor = lists.page_after(name=name, pk=pks[limit * 999 - 1])
    first, thousandth = (blocks_read(caller, name, limit=limit, **place) for place in ({}, {"cursor": cursor}))
    # Whoever counted off the rows before it would read a hundred times as much.
    assert thousandth < 3 * first < 1000


def blocks_read(caller: Caller, name: str, **asked: object) -> int:
    """Return how many blocks the statement that reads the page touches."""
    with CaptureQueriesContext(connection) as captured:
        assert len(caller.get(name, **asked)[1][name]) == asked["limit"]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {captured[-1]['sql']}")
        ((plan,),) = cursor.fetchone()
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
