"""Reports of abuse by the API: recorded once, and a hold until staff have looked."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from referrals.models import AbuseEvidence, AbuseReport, Decision, FraudFlag, Referral
from referrals.operations import refuse, release_flag
from tests.facts import NOW, day, fact, record, register
from tests.referring import settle_at
from tests.test_api import assert_problem, new_key
from tests.test_api_accounts import read, send

pytestmark = pytest.mark.django_db

REPORTS = "/api/v1/abuse-reports"


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def key() -> str:
    return new_key("abuse:write")


@pytest.fixture
def bob() -> User:
    return register("bob", referred_by=register("alice"))


def report(**more: Any) -> dict[str, Any]:
    return {"report_id": "r1", "account_id": "bob", "kind": "mining", "evidence": "The GPUs ran hot.", **more}


def post(client: Client, key: str | None, **more: Any) -> HttpResponse:
    return send(client, "POST", REPORTS, report(**more), key)


def nest(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"end": 1}
    for _ in range(depth - 2):
        inner = {"in": inner}
    return inner


def test_report_holds_the_referral_of_the_account(client: Client, key: str, bob: User) -> None:
    answer = post(client, key)
    flag = FraudFlag.objects.get()
    assert answer.status_code == 201
    assert read(answer) == {
        "report_id": "r1",
        "account_id": "bob",
        "kind": "mining",
        "received_at": "2026-11-01T00:00:00+00:00",
        "flag_id": flag.pk,
    }
    assert (flag.referral.friend, flag.severity, flag.rule, flag.closed_at) == (bob, "hold", "abuse: mining", None)
    assert flag.referral.held
    decision = Decision.objects.get()
    assert (decision.action, decision.actor, decision.flag) == ("hold", None, flag)


def test_evidence_stands_beside_the_report_and_nowhere_else(client: Client, key: str, bob: User) -> None:
    evidence = {"host": "vm-7", "watts": [300, 310.5], "by": {"name": "Dora Dunn"}}
    post(client, key, evidence=evidence)
    assert AbuseEvidence.objects.get().content == evidence
    AbuseEvidence.objects.update(content="")
    assert "Dunn" not in str([*AbuseReport.objects.values(), *FraudFlag.objects.values()])
    assert "Dunn" not in str([one.reason.text for one in Decision.objects.all()])
    assert post(client, key, evidence=evidence).status_code == 201
    assert_problem(post(client, key), 409, "conflict")


def test_held_reward_waits_until_the_flag_is_released(client: Client, key: str, bob: User) -> None:
    record(fact(bob, "p", "25", day(1, 5)))
    post(client, key)
    settle_at(NOW)
    assert Referral.objects.get().payout_granted.amount == 0
    release_flag(flag_id=FraudFlag.objects.get().pk, actor=None, reason="A game.", now=NOW)
    settle_at(NOW)
    assert Referral.objects.get().payout_granted.amount == 20


def test_the_same_report_again_answers_the_same_and_opens_nothing_anew(client: Client, key: str, bob: User) -> None:
    first = read(post(client, key))
    release_flag(flag_id=FraudFlag.objects.get().pk, actor=None, reason="A game.", now=NOW)
    again = post(client, key)
    assert (again.status_code, read(again)) == (201, first)
    assert not Referral.objects.get().held
    assert AbuseReport.objects.count() == FraudFlag.objects.count() == 1


@pytest.mark.parametrize(
    "other", [{"account_id": "alice"}, {"kind": "fraud"}, {"evidence": "Other."}, {"evidence": {"a": "Other."}}]
)
def test_other_content_under_a_known_id_is_a_conflict(
    client: Client, key: str, bob: User, other: dict[str, Any]
) -> None:
    post(client, key)
    assert_problem(post(client, key, **other), 409, "conflict")
    assert AbuseReport.objects.count() == FraudFlag.objects.count() == Decision.objects.count() == 1


def test_reports_of_one_kind_share_an_open_flag(client: Client, key: str, bob: User) -> None:
    flags = [read(post(client, key, report_id=name))["flag_id"] for name in ("r1", "r2")]
    other = read(post(client, key, report_id="r3", kind="fraud"))["flag_id"]
    assert flags[0] == flags[1] != other
    refuse(referral_id=Referral.objects.get().pk, actor=None, reason="Mining.", now=NOW)
    assert not FraudFlag.objects.filter(closed_at=None).exists()


def test_report_on_who_was_not_referred_is_kept_without_a_flag(client: Client, key: str, bob: User) -> None:
    assert read(post(client, key, account_id="alice"))["flag_id"] is None
    assert not FraudFlag.objects.exists()
    assert AbuseReport.objects.get().customer.account_id == "alice"


@pytest.mark.parametrize("kind", ["card_theft", "fraud", "mining", "illegal_activity", "other"])
def test_every_kind_is_taken(client: Client, key: str, bob: User, kind: str) -> None:
    assert read(post(client, key, kind=kind))["kind"] == kind


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 422, "invalid"),
        ("null", 422, "invalid"),
        ("{", 400, "json"),
        (b"\xff", 400, "json"),
        ("[" * 100_000, 400, "json"),
        (json.dumps(report(evidence={"a": float("nan")})), 400, "json"),
        (json.dumps(report(evidence="\ud800")), 400, "json"),
        (json.dumps(report())[:-1] + ', "evidence": {"a": 1e999}}', 400, "json"),
        (report(account_id="nobody"), 422, "account"),
        (report(account_id="a\0b"), 422, "invalid"),
        (report(account_id=7), 422, "invalid"),
        (report(report_id=""), 422, "invalid"),
        (report(report_id="x" * 101), 422, "invalid"),
        (report(report_id="a\nb"), 422, "invalid"),
        (report(kind="rudeness"), 422, "invalid"),
        (report(kind=None), 422, "invalid"),
        (report(kind=["fraud"]), 422, "invalid"),
        (report(evidence=""), 422, "invalid"),
        (report(evidence={}), 422, "invalid"),
        (report(evidence=None), 422, "invalid"),
        (report(evidence=7), 422, "invalid"),
        (report(evidence=[1]), 422, "invalid"),
        (report(evidence="a\0b"), 422, "invalid"),
        (report(evidence={"a\0b": 1}), 422, "invalid"),
        (report(evidence={"a": ["\0"]}), 422, "invalid"),
        (report(evidence="x" * 20_000), 422, "invalid"),
        (report(evidence=nest(11)), 422, "invalid"),
        (report(evidence=nest(900)), 422, "invalid"),
        (report(evidence={"n": 2**64}), 422, "invalid"),
        (report(evidence={"n": [-(2**64)]}), 422, "invalid"),
        (report(evidence={"n": 10**300}), 422, "invalid"),
        (report(secret="4242"), 422, "invalid"),
        (" " * (8 * 1024 * 1024 + 1), 413, "size"),
    ],
)
def test_body_that_cannot_be_used_changes_nothing(
    client: Client, key: str, bob: User, body: Any, status: int, code: str
) -> None:
    problem = assert_problem(send(client, "POST", REPORTS, body, key), status, code)
    assert "4242" not in json.dumps(problem)
    assert not AbuseReport.objects.exists()
    assert not FraudFlag.objects.exists()


@pytest.mark.parametrize(
    "evidence", [nest(10), {"n": [2**64 - 1, -(2**63), 0.5]}, {"n": True}, "\\u0000", "x" * 19_998]
)
def test_evidence_within_the_limits_is_kept(client: Client, key: str, bob: User, evidence: Any) -> None:
    assert post(client, key, evidence=evidence).status_code == 201
    assert AbuseEvidence.objects.get().content == evidence


@pytest.mark.parametrize("evidence", [None, 7, [1]])
def test_evidence_of_another_type_is_named_as_what_was_sent(client: Client, key: str, bob: User, evidence: Any) -> None:
    (error,) = assert_problem(post(client, key, evidence=evidence), 422, "invalid")["errors"]
    assert error["at"] == ["body", "evidence"]


def test_key_without_the_scope_reports_nobody(client: Client, bob: User) -> None:
    assert_problem(post(client, new_key("accounts:write")), 403, "scope")
    assert_problem(post(client, None), 401, "key")
    assert not AbuseReport.objects.exists()
