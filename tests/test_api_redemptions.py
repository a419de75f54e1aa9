"""Redemptions and their returns over the API: what credit pays of a purchase, and that it pays once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from billing.models import Product
from credits.models import Coupon, CouponEntry, CreditAccount, Redemption, RedemptionLine, RedemptionReturn
from credits.operations import RedemptionFact, record_redemptions
from tests.api_calls import FEBRUARY, MARCH, Caller, give, purchase
from tests.books import assert_clean_audit
from tests.facts import NOW, day, register

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _in_february(time_machine: Any) -> None:
    time_machine.move_to(FEBRUARY, tick=False)


@pytest.fixture
def alice() -> User:
    return register("alice")


@pytest.fixture
def caller() -> Caller:
    return Caller("credit:redeem")


@pytest.fixture
def coupons(alice: User) -> tuple[int, int]:
    """Two coupons of alice's: $10 until March, then $5."""
    later = give(alice, "later", "5", expires_at=day(4, 1))
    return give(alice, "sooner", "10", expires_at=MARCH), later


def left() -> list[str]:
    return [str(coupon.remaining.amount) for coupon in Coupon.objects.credit().in_order_of_use()]


def nothing_is_written() -> bool:
    return not (Redemption.objects.exists() or RedemptionLine.objects.exists() or len(entries()))


def entries() -> list[CouponEntry]:
    return list(CouponEntry.objects.exclude(type="ISSUE").order_by("pk"))


def test_lines_are_paid_in_their_order_by_coupons_in_their_order_of_use(
    caller: Caller, coupons: tuple[int, int]
) -> None:
    sooner, later = coupons
    lines = [("ecs", "7.00"), ("domain", "9"), ("cdn", "5.5"), ("rds", "30.00")]
    status, answer = caller.post("redemptions", purchase("order", "alice", *lines))
    assert status == 200
    assert {name: answer[name] for name in ("amount", "credit", "cash", "recorded")} == {
        "amount": "51.50",
        "credit": "15.00",
        "cash": "36.50",
        "recorded": True,
    }
    paid = [(line["product"], line["accepts_credit"], line["credit"], line["cash"]) for line in answer["lines"]]
    assert paid == [
        ("ecs", True, "7.00", "0.00"),
        ("domain", False, "0.00", "9.00"),
        ("cdn", True, "5.50", "0.00"),
        ("rds", True, "2.50", "27.50"),
    ]
    assert [line["coupons"] for line in answer["lines"]] == [
        [{"coupon_id": sooner, "amount": "7.00"}],
        [],
        [{"coupon_id": sooner, "amount": "3.00"}, {"coupon_id": later, "amount": "2.50"}],
        [{"coupon_id": later, "amount": "2.50"}],
    ]
    assert [(one["coupon_id"], one["amount"], one["remaining"]) for one in answer["coupons"]] == [
        (sooner, "10.00", "0.00"),
        (later, "5.00", "0.00"),
    ]
    assert left() == ["0.00", "0.00"]
    assert_clean_audit()


def test_the_trial_pays_nothing(caller: Caller, alice: User) -> None:
    _, answer = caller.post("redemptions", purchase())
    assert (answer["credit"], answer["cash"], answer["coupons"]) == ("0.00", "12.00", [])
    assert Coupon.objects.get(kind="trial").remaining.amount == 300


def test_what_credit_did_not_pay_is_recorded_and_breaks_nothing(caller: Caller, alice: User) -> None:
    caller.post("redemptions", purchase())
    redemption = Redemption.objects.get()
    assert (redemption.amount.amount, redemption.source, redemption.lines.count()) == (0, "billing", 1)
    assert entries() == []
    assert_clean_audit()


@pytest.mark.parametrize(("ahead", "credit"), [(timedelta(microseconds=-1), "10.00"), (timedelta(0), "5.00")])
def test_a_coupon_pays_until_it_expires(
    caller: Caller, coupons: tuple[int, int], time_machine: Any, ahead: timedelta, credit: str
) -> None:
    time_machine.move_to(MARCH + ahead, tick=False)
    _, answer = caller.post("redemptions", purchase("order", "alice", ("ecs", "10")))
    assert answer["credit"] == credit


def test_frozen_credit_pays_nothing(caller: Caller, alice: User, coupons: tuple[int, int]) -> None:
    CreditAccount.objects.filter(pk=alice.pk).update(frozen_at=FEBRUARY)
    _, answer = caller.post("redemptions", purchase())
    assert (answer["credit"], answer["cash"]) == ("0.00", "12.00")
    assert left() == ["10.00", "5.00"]


def test_a_preview_says_the_same_and_writes_nothing(caller: Caller, coupons: tuple[int, int]) -> None:
    _, asked = caller.post("redemptions", purchase(preview=True))
    assert (asked["recorded"], asked["occurred_at"]) == (False, None)
    assert nothing_is_written()
    assert left() == ["10.00", "5.00"]
    _, paid = caller.post("redemptions", purchase(preview=False))
    assert asked == {**paid, "recorded": False, "occurred_at": None}
    assert caller.post("redemptions", purchase(preview=True)) == (200, paid)
    assert caller.post("redemptions", purchase("order", "alice", ("ecs", "1"), preview=True))[0] == 409


def test_the_same_again_has_the_same_answer_though_balances_moved(
    caller: Caller, alice: User, coupons: tuple[int, int], time_machine: Any
) -> None:
    answers = [caller.post("redemptions", purchase("first"))]
    answers.append(caller.post("redemptions", purchase("second")))
    answers.append(caller.post("redemptions", purchase("third")))
    assert [answer["credit"] for _, answer in answers] == ["12.00", "3.00", "0.00"]
    caller.post("redemptions/first/returns", {"return_id": "back", "amount": "12"})
    give(alice, "more", "100", expires_at=day(6, 1))
    Product.objects.filter(code="ecs").update(accepts_credit=False)
    time_machine.move_to(day(5, 1), tick=False)
    assert [caller.post("redemptions", purchase(name)) for name in ("first", "second", "third")] == answers
    assert Redemption.objects.count() == 3
    assert_clean_audit()


@pytest.mark.parametrize("amount", ["12", "12.0", "12.00"])
def test_content_is_compared_by_value(caller: Caller, coupons: tuple[int, int], amount: str) -> None:
    answer = caller.post("redemptions", purchase())
    assert caller.post("redemptions", purchase("order", "alice", ("ecs", amount))) == answer


@pytest.mark.parametrize(
    "other",
    [
        purchase("order", "bob"),
        purchase("order", "nobody"),
        purchase("order", "alice", ("ecs", "12.01")),
        purchase("order", "alice", ("cdn", "12")),
        purchase("order", "alice", ("unknown", "12")),
        purchase("order", "alice", ("ecs", "12"), ("ecs", "1")),
    ],
    ids=["account", "unknown account", "amount", "product", "unknown product", "one line more"],
)
def test_other_content_under_a_known_id_is_a_conflict(
    caller: Caller, coupons: tuple[int, int], other: dict[str, Any]
) -> None:
    register("bob")
    caller.post("redemptions", purchase())
    status, problem = caller.post("redemptions", other)
    assert (status, problem["code"]) == (409, "conflict")
    assert left() == ["0.00", "3.00"]


def test_lines_in_another_order_are_other_content(caller: Caller, coupons: tuple[int, int]) -> None:
    lines = [("ecs", "3"), ("cdn", "4")]
    caller.post("redemptions", purchase("order", "alice", *lines))
    assert caller.post("redemptions", purchase("order", "alice", *reversed(lines)))[0] == 409


def test_files_and_calls_share_their_ids(caller: Caller, alice: User, coupons: tuple[int, int]) -> None:
    rows = [RedemptionFact(2, "by-file", "alice", "3", FEBRUARY.isoformat())]
    record_redemptions(source="billing", facts=rows, now=NOW)
    status, problem = caller.post("redemptions", purchase("by-file", "alice", ("ecs", "3")))
    assert (status, problem["code"]) == (409, "conflict")
    caller.post("redemptions", purchase("by-call", "alice", ("ecs", "3")))
    rows = [RedemptionFact(2, "by-call", "alice", "4", FEBRUARY.isoformat())]
    (refusal,) = record_redemptions(source="billing", facts=rows, now=NOW).refusals
    assert refusal.code == "conflict"


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        (purchase(""), "id", None),
        (purchase("x" * 101), "id", None),
        (purchase("a\nb"), "id", None),
        (purchase("a\0b"), "id", None),
        (purchase("order", "\0"), "id", None),
        (purchase("order", "alice", ("ecs", "1"), ("ecs", "0.00")), "amount", ["body", "lines", 1, "amount"]),
        (purchase("order", "alice", ("ecs", "-1")), "amount", ["body", "lines", 0, "amount"]),
        (purchase("order", "alice", ("ecs", "1.001")), "amount", ["body", "lines", 0, "amount"]),
        (purchase("order", "alice", ("ecs", "1e3")), "amount", ["body", "lines", 0, "amount"]),
        (purchase("order", "alice", ("ecs", "١")), "amount", ["body", "lines", 0, "amount"]),
        (purchase("order", "alice", ("ecs", "9999999999"), ("ecs", "1")), "amount", None),
        (purchase("order", "nobody", ("unknown", "1")), "account", None),
        (purchase("order", "alice", ("ecs", "1"), ("unknown", "1")), "product", ["body", "lines", 1, "product"]),
        (purchase("order", "alice", ("e\0cs", "1")), "product", ["body", "lines", 0, "product"]),
        (purchase("order", "alice", ("ECS", "1")), "product", ["body", "lines", 0, "product"]),
    ],
)
@pytest.mark.parametrize("preview", [True, False])
def test_what_is_refused_says_why_and_leaves_no_trace(
    caller: Caller, coupons: tuple[int, int], body: dict[str, Any], code: str, at: list[object] | None, preview: bool
) -> None:
    status, problem = caller.post("redemptions", body | {"preview": preview})
    assert (status, problem["code"]) == (422, code)
    assert [error["at"] for error in problem.get("errors", [])] == ([at] if at else [])
    assert nothing_is_written()


@pytest.mark.parametrize(
    "changes",
    [{"lines": []}, {"lines": None}, {"lines": [{}] * 1001}, {"preview": "yes"}, {"preview": 1}, {"amount": "5"}],
)
def test_a_body_of_another_form_is_refused(caller: Caller, coupons: tuple[int, int], changes: dict[str, Any]) -> None:
    status, problem = caller.post("redemptions", purchase() | changes)
    assert (status, problem["code"]) == (422, "invalid")
    assert nothing_is_written()


def test_an_account_that_is_not_registered_yet_is_unknown(caller: Caller) -> None:
    User.objects.create(account_id="new", email="new@example.com", created_at=NOW)
    assert caller.post("redemptions", purchase("order", "new"))[1]["code"] == "account"


def test_a_thousand_lines_take_as_many_statements_as_one(caller: Caller, coupons: tuple[int, int]) -> None:
    caller.post("redemptions", purchase("warm"))
    statements = []
    for name, lines in (("one", 1), ("many", 1000)):
        with CaptureQueriesContext(connection) as captured:
            status, _ = caller.post("redemptions", purchase(name, "alice", *[("ecs", "0.01")] * lines))
        assert status == 200
        statements.append(len(captured))
    assert statements[0] == statements[1]
    assert RedemptionLine.objects.count() == 1002
    assert_clean_audit()


@pytest.mark.parametrize("scope", ["credit:read", "spend:write", "accounts:write"])
def test_another_scope_does_not_redeem(coupons: tuple[int, int], scope: str) -> None:
    caller = Caller(scope)
    assert caller.post("redemptions", purchase())[0] == 403
    assert caller.post("redemptions/order/returns", {"return_id": "r", "amount": "1"})[0] == 403
    assert nothing_is_written()


# Returns


def back(return_id: str = "back", amount: str = "4.00") -> dict[str, str]:
    return {"return_id": return_id, "amount": amount}


@pytest.fixture
def order(caller: Caller, coupons: tuple[int, int]) -> str:
    """A redemption of $12: $10 of the sooner coupon, and $2 of the later one."""
    caller.post("redemptions", purchase("order"))
    return "redemptions/order/returns"


def test_a_return_goes_to_the_coupon_that_was_used_last(caller: Caller, coupons: tuple[int, int], order: str) -> None:
    sooner, later = coupons
    status, answer = caller.post(order, back())
    assert status == 200
    assert answer == {
        "redemption_id": "order",
        "return_id": "back",
        "amount": "4.00",
        "left": "8.00",
        "occurred_at": "2026-02-01T00:00:00+00:00",
        "coupons": [{"coupon_id": later, "amount": "2.00"}, {"coupon_id": sooner, "amount": "2.00"}],
    }
    assert left() == ["2.00", "5.00"]
    assert_clean_audit()


def test_the_same_return_again_has_the_same_answer(caller: Caller, order: str, time_machine: Any) -> None:
    answers = [caller.post(order, back("one", "4")), caller.post(order, back("two", "8"))]
    assert [answer["left"] for _, answer in answers] == ["8.00", "0.00"]
    time_machine.move_to(day(5, 1), tick=False)
    assert [caller.post(order, back("one", "4.00")), caller.post(order, back("two", "8.0"))] == answers
    assert RedemptionReturn.objects.count() == 2


def test_a_return_of_another_amount_is_a_conflict(caller: Caller, order: str) -> None:
    caller.post(order, back())
    status, problem = caller.post(order, back(amount="4.01"))
    assert (status, problem["code"]) == (409, "conflict")


def test_returns_of_two_redemptions_may_have_one_id(caller: Caller, order: str) -> None:
    caller.post("redemptions", purchase("other", "alice", ("ecs", "3")))
    for name in ("order", "other"):
        assert caller.post(f"redemptions/{name}/returns", back(amount="1"))[0] == 200


@pytest.mark.parametrize(("second", "status"), [("8.00", 200), ("8.01", 422)])
def test_no_more_comes_back_than_was_used(caller: Caller, order: str, second: str, status: int) -> None:
    caller.post(order, back("one", "4"))
    answered, answer = caller.post(order, back("two", second))
    assert answered == status
    assert answer.get("code") == (None if status == 200 else "exceeds")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (back(amount="0"), "amount"),
        (back(amount="1.001"), "amount"),
        (back(amount="NaN"), "amount"),
        (back(return_id=""), "id"),
        (back(return_id="a\0"), "id"),
        (back() | {"occurred_at": "2026-02-01T00:00:00Z"}, "invalid"),
    ],
)
def test_a_return_that_is_refused_leaves_no_trace(caller: Caller, order: str, body: Any, code: str) -> None:
    status, problem = caller.post(order, body)
    assert (status, problem["code"]) == (422, code)
    assert not RedemptionReturn.objects.exists()


@pytest.mark.parametrize("name", ["none", "a%00b", "x" * 101, "order-2"])
def test_nothing_comes_back_of_a_redemption_that_is_not_there(caller: Caller, order: str, name: str) -> None:
    status, problem = caller.post(f"redemptions/{name}/returns", back())
    assert (status, problem["code"]) == (404, "redemption")


def test_an_order_of_the_console_is_not_the_billing_systems(caller: Caller, coupons: tuple[int, int]) -> None:
    rows = [RedemptionFact(2, "R-1", "alice", "3", FEBRUARY.isoformat())]
    record_redemptions(source="console", facts=rows, now=NOW)
    assert caller.post("redemptions/R-1/returns", back(amount="3"))[0] == 404


def test_what_a_file_redeemed_comes_back_by_a_call(caller: Caller, coupons: tuple[int, int]) -> None:
    """Also where the file's instant lies a little ahead of the clock."""
    at = (FEBRUARY + timedelta(minutes=4)).isoformat()
    record_redemptions(source="billing", facts=[RedemptionFact(2, "f", "alice", "3", at)], now=FEBRUARY)
    assert caller.post("redemptions/f/returns", back(amount="3"))[0] == 200
    assert left() == ["10.00", "5.00"]


def test_an_id_may_hold_a_slash(caller: Caller, coupons: tuple[int, int]) -> None:
    caller.post("redemptions", purchase("2026/07/1"))
    assert caller.post("redemptions/2026/07/1/returns", back())[1]["redemption_id"] == "2026/07/1"


def test_what_comes_back_after_the_expiry_expires_at_once(caller: Caller, order: str, time_machine: Any) -> None:
    time_machine.move_to(MARCH, tick=False)
    assert caller.post(order, back(amount="12"))[0] == 200
    assert left() == ["0.00", "5.00"]
    assert [entry.type for entry in entries()][-3:] == ["RETURN", "RETURN", "EXPIRE"]


def test_nothing_comes_back_where_credit_paid_nothing(caller: Caller, alice: User) -> None:
    caller.post("redemptions", purchase())
    assert caller.post("redemptions/order/returns", back(amount="0.01"))[1]["code"] == "exceeds"
