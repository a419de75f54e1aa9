"""The API: who is let in, what an answer looks like, and spend and credit by it."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client

from accounts.models import ApiKey, User
from accounts.operations import UnableToCreateKey, create_api_key, revoke_api_key
from billing.models import SpendEvent
from credits.models import CreditAccount
from tests.facts import NOW, day, register

pytestmark = pytest.mark.django_db

FEBRUARY = day(2, 1)
SPEND = "/api/v1/spend-events"


def new_key(*scopes: str, **more: Any) -> str:
    options = {"name": "billing", "actor": None, "now": NOW, **more}
    return create_api_key(scopes=scopes or ["spend:write"], **options)[1]


def post(client: Client, body: Any, key: str | None, **more: Any) -> HttpResponse:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    return client.post(SPEND, content, content_type="application/json", headers=headers, **more)  # type: ignore[return-value]


def event(event_id: str = "p1", **changes: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "account_id": "bob",
        "type": "payment",
        "product": "ecs",
        "currency": "USD",
        "amount": "25.00",
        "occurred_at": "2026-01-05T09:00:00Z",
        **changes,
    }


def batch(*events: dict[str, Any]) -> dict[str, Any]:
    return {"events": list(events)}


def assert_problem(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.content)
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, "about:blank")
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.fixture
def bob() -> User:
    return register("bob", referred_by=register("alice"))


# Spend


def test_spend_goes_in_once_however_often_it_is_sent(client: Client, bob: User) -> None:
    key, body = new_key(), batch(event(), event("p2", product="none"), event("r1", type="refund", payment_id="p1"))
    answer = post(client, body, key).json()  # type: ignore[attr-defined]
    assert {name: answer[name] for name in ("accepted", "waiting", "duplicate", "refused")} == {
        "accepted": 2,
        "waiting": 0,
        "duplicate": 0,
        "refused": 1,
    }
    assert answer["refusals"] == [
        {"index": 1, "event_id": "p2", "code": "product", "message": "the product is unknown"}
    ]
    again = post(client, body, key).json()  # type: ignore[attr-defined]
    assert (again["accepted"], again["duplicate"], again["refused"]) == (0, 2, 1)
    assert SpendEvent.objects.count() == 2


def test_a_reversal_that_waited_is_reported_with_the_call_that_brings_its_payment(client: Client, bob: User) -> None:
    key = new_key()
    waiting = post(client, batch(event("r1", type="refund", payment_id="p1", amount="26")), key)
    assert waiting.json()["waiting"] == 1  # type: ignore[attr-defined]
    (refusal,) = post(client, batch(event()), key).json()["refusals"]  # type: ignore[attr-defined]
    assert (refusal["index"], refusal["event_id"], refusal["code"]) == (None, "r1", "exceeds")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 422, "invalid"),
        ("{", 400, "json"),
        ("nonsense", 400, "json"),
        (b"\xff", 400, "json"),
        (json.dumps(batch(event(amount=float("nan")))), 400, "json"),
        (json.dumps(batch(event(event_id="\ud800"))), 400, "json"),
        ("[" * 100_000, 400, "json"),
        ("[]", 422, "invalid"),
        ("null", 422, "invalid"),
        ({}, 422, "invalid"),
        (batch(), 422, "invalid"),
        ({"events": {}}, 422, "invalid"),
        (batch(event(amount=25)), 422, "invalid"),
        (batch(event(amount=1e400)), 400, "json"),
        (batch(event(amount=None)), 422, "invalid"),
        (batch(event(event_id="x" * 1001)), 422, "invalid"),
        (batch({**event(), "secret": "4242"}), 422, "invalid"),
        (batch(*[event()] * 10_001), 422, "invalid"),
    ],
)
def test_a_body_that_cannot_be_used_is_a_problem_and_changes_nothing(
    client: Client, bob: User, body: Any, status: int, code: str
) -> None:
    problem = assert_problem(post(client, body, new_key()), status, code)
    assert "4242" not in json.dumps(problem)
    assert not SpendEvent.objects.exists()


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (batch(event(), event(amount=25)), ["body", "events", 1, "amount"]),
        ({"events": [], "more": 1}, ["body", "events"]),
        ("[]", ["body"]),
        ("", ["body"]),
    ],
)
def test_a_problem_says_where_in_what_was_sent(client: Client, bob: User, body: Any, at: list[Any]) -> None:
    assert assert_problem(post(client, body, new_key()), 422, "invalid")["errors"][0]["at"] == at


def test_a_body_over_eight_megabytes_is_refused(client: Client, bob: User) -> None:
    assert_problem(post(client, " " * (8 * 1024 * 1024 + 1), new_key()), 413, "size")


def test_ten_thousand_events_go_in_at_once(client: Client, bob: User) -> None:
    body = batch(*[event(f"p{n}", amount="0.01") for n in range(10_000)])
    assert post(client, body, new_key()).json()["accepted"] == 10_000  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", [{"event_id": "a\0b"}, {"amount": "NaN"}, {"occurred_at": "soon"}, {"type": ""}])
def test_an_event_of_another_form_is_refused_by_itself(client: Client, bob: User, changes: dict[str, str]) -> None:
    answer = post(client, batch(event(), event("p2") | changes), new_key()).json()  # type: ignore[attr-defined]
    assert (answer["accepted"], answer["refused"]) == (1, 1)


# Keys


def test_without_a_key_nobody_is_let_in(client: Client) -> None:
    response = post(client, batch(event()), None)
    assert_problem(response, 401, "key")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["", "raf_wrong", "ключ", "x" * 10_000])
def test_a_key_that_is_none_is_not_let_in(client: Client, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}".encode().decode("latin-1")}
    response = client.post(SPEND, "{}", content_type="application/json", headers=headers)
    assert_problem(response, 401, "key")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {}", 200),
        ("bearer {}", 200),
        ("BEARER   {}", 200),
        ("Bearer {} ", 200),
        ("Bearer{}", 401),
        ("Bearer\t{}", 401),
        ("Bearer Bearer {}", 401),
        ("Bearer {} x", 401),
        ("Basic {}", 401),
        ("{}", 401),
        ("Bearer", 401),
        ("", 401),
    ],
)
def test_the_scheme_and_the_key_stand_apart(client: Client, bob: User, header: str, status: int) -> None:
    """RFC 9110: the scheme in letters of either case, and one space or more."""
    response = client.get(
        "/api/v1/accounts/bob/credit", headers={"Authorization": header.format(new_key("credit:read"))}
    )
    assert response.status_code == status


def test_a_key_is_good_until_it_expires(client: Client, bob: User, time_machine: Any) -> None:
    key = new_key(expires_at=NOW + timedelta(days=1))
    for instant, status in ((NOW + timedelta(days=1, seconds=-1), 200), (NOW + timedelta(days=1), 401)):
        time_machine.move_to(instant, tick=False)
        assert post(client, batch(event()), key).status_code == status


def test_a_revoked_key_is_good_no_more(client: Client, bob: User) -> None:
    key = new_key()
    assert post(client, batch(event()), key).status_code == 200
    kept = ApiKey.objects.get()
    assert revoke_api_key(key_id=kept.pk, now=NOW)
    assert not revoke_api_key(key_id=kept.pk, now=NOW)
    assert_problem(post(client, batch(event()), key), 401, "key")


@pytest.mark.parametrize(
    ("network", "address", "status"),
    [
        ("203.0.113.0/24", "203.0.113.255", 200),
        ("203.0.113.0/24", "203.0.114.0", 401),
        ("2001:db8::/32", "2001:db8::1", 200),
        ("2001:db8::/32", "203.0.113.1", 401),
        ("203.0.113.0/24", "::ffff:203.0.113.255", 200),
        ("203.0.113.0/24", "::ffff:203.0.114.0", 401),
        ("::ffff:203.0.113.0/120", "203.0.113.255", 200),
        ("::ffff:203.0.113.0/120", "::ffff:203.0.113.255", 200),
        ("::/0", "::ffff:203.0.113.1", 401),
        ("0.0.0.0/0", "2001:db8::1", 401),
    ],
)
def test_a_key_is_good_from_its_networks(client: Client, bob: User, network: str, address: str, status: int) -> None:
    key = new_key(networks=[network])
    assert post(client, batch(event()), key, REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize(("passed", "status"), [("203.0.113.9", 200), ("203.0.114.9", 401), ("nonsense", 401)])
def test_a_call_that_has_passed_too_few_proxies_comes_from_the_address_nearest_to_it(
    client: Client, bob: User, settings: Any, passed: str, status: int
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    key = new_key(networks=["203.0.113.0/24"])
    assert post(client, batch(event()), key, HTTP_X_FORWARDED_FOR=passed).status_code == status


def test_a_key_does_only_what_its_scopes_say(client: Client, bob: User) -> None:
    key = new_key("credit:read")
    assert_problem(post(client, batch(event()), key), 403, "scope")
    assert client.get("/api/v1/accounts/bob/credit", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_key_is_kept_as_a_digest_and_its_use_is_noted(client: Client, bob: User) -> None:
    key = new_key()
    kept = ApiKey.objects.get()
    assert key not in str(ApiKey.objects.values())
    assert (kept.last_used_at, kept.tail) == (None, key[-4:])
    post(client, batch(event()), key)
    kept.refresh_from_db()
    assert kept.last_used_at is not None


def test_calls_are_limited_by_the_minute_and_say_what_is_left(
    client: Client, bob: User, settings: Any, time_machine: Any
) -> None:
    settings.API_CALLS_PER_MINUTE = 2
    time_machine.move_to(NOW + timedelta(seconds=20), tick=False)
    key, other = new_key(), new_key()
    left = [post(client, batch(event()), key).headers["RateLimit-Remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    response = post(client, batch(event()), key)
    assert_problem(response, 429, "limit")
    assert (response.headers["Retry-After"], response.headers["RateLimit-Limit"]) == ("40", "2")
    assert post(client, batch(event()), other).status_code == 200
    time_machine.move_to(NOW + timedelta(seconds=60), tick=False)
    assert post(client, batch(event()), key).status_code == 200


def test_the_command_prints_the_key_alone(client: Client, bob: User) -> None:
    out = StringIO()
    call_command("create_api_key", "erp", "--scope", "spend:write", "credit:read", stdout=out)
    (key,) = out.getvalue().splitlines()
    assert post(client, batch(event()), key).status_code == 200
    assert ApiKey.objects.get().scopes == ["credit:read", "spend:write"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scope"),
        ({"scopes": ["everything"]}, "scope"),
        ({"networks": ["here"]}, "network"),
        ({"networks": ["203.0.113.1/24"]}, "network"),
        ({"expires_at": NOW}, "expiry"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(options: dict[str, Any], code: str) -> None:
    with pytest.raises(UnableToCreateKey) as refusal:
        create_api_key(**{"name": "n", "scopes": ["spend:write"], "actor": None, "now": NOW, **options})
    assert refusal.value.code == code
    assert not ApiKey.objects.exists()


def test_the_command_says_what_is_wrong() -> None:
    with pytest.raises(CommandError, match="range"):
        call_command("create_api_key", "erp", "--scope", "spend:write", "--network", "here")


# Credit


def credit(client: Client, account_id: str) -> HttpResponse:
    key = new_key("credit:read")
    return client.get(f"/api/v1/accounts/{account_id}/credit", headers={"Authorization": f"Bearer {key}"})  # type: ignore[return-value]


def test_credit_says_what_is_usable_and_the_trial_apart(client: Client, bob: User, time_machine: Any) -> None:
    time_machine.move_to(FEBRUARY, tick=False)
    answer = credit(client, "bob").json()  # type: ignore[attr-defined]
    assert (answer["account_id"], answer["usable"], answer["trial"], answer["frozen"]) == (
        "bob",
        "5.00",
        "300.00",
        False,
    )
    assert [coupon["kind"] for coupon in answer["coupons"]] == ["welcome", "trial"]
    assert answer["debts"] == []


def test_frozen_credit_is_not_usable(client: Client, bob: User, time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    CreditAccount.objects.filter(pk=bob.pk).update(frozen_at=NOW)
    answer = credit(client, "bob").json()  # type: ignore[attr-defined]
    assert (answer["usable"], answer["trial"], answer["frozen"]) == ("0.00", "0.00", True)


def test_credit_of_nobody_is_a_problem(client: Client) -> None:
    assert_problem(credit(client, "nobody"), 404, "account")


# The documentation


def test_the_schema_and_its_page_are_served_from_here(client: Client) -> None:
    schema = client.get("/api/v1/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) >= {
        "/api/v1/spend-events",
        "/api/v1/accounts/{account_id}/credit",
        "/api/v1/redemptions",
        "/api/v1/redemptions/{redemption_id}/returns",
        *(f"/api/v1/{name}" for name in ("referrals", "rewards", "coupons", "entries")),
        "/api/v1/referrals/{referral_id}",
        "/api/v1/rewards/{reward_id}",
        "/api/v1/coupons/{coupon_id}",
        "/api/v1/entries/{entry_id}",
    }
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    assert b"http://" not in page.content
    assert b"https://" not in page.content


# Methods

READ, WRITTEN = "GET, HEAD, OPTIONS", "OPTIONS, POST"
CREDIT = "/api/v1/accounts/bob/credit"


@pytest.mark.parametrize(("method", "path", "status", "code", "allowed"), [
    ("get", "/api/v1/nothing", 404, "call", None),
    ("options", "/api/v1/nothing", 404, "call", None),
    ("post", "/api/v1/", 404, "call", None),
    ("get", SPEND, 405, "method", WRITTEN),
    ("put", SPEND, 405, "method", WRITTEN),
    ("trace", SPEND, 405, "method", WRITTEN),
    ("post", "/api/v1/coupons", 405, "method", READ),
    ("delete", CREDIT, 405, "method", "GET, HEAD, OPTIONS, PATCH"),
])  # fmt: skip
def test_a_call_that_there_is_not_is_a_problem(
    client: Client, method: str, path: str, status: int, code: str, allowed: str | None
) -> None:
    answer = getattr(client, method)(path)
    assert_problem(answer, status, code)
    assert answer.headers.get("Allow") == allowed


@pytest.mark.parametrize("path", [
    CREDIT, "/api/v1/accounts/nobody/credit", "/api/v1/accounts/%00/credit",
    *(f"/api/v1/{name}{part}" for name in ("referrals", "coupons", "entries") for part in ("", "?limit=0", "/0")),
    "/api/v1/openapi.json", "/api/v1/docs", SPEND, "/api/v1/nothing",
])  # fmt: skip
def test_head_answers_as_get_without_a_body(client: Client, bob: User, path: str, time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    for key in (new_key("credit:read", "referrals:read"), new_key("abuse:write"), "none"):
        by_get, by_head = (ask(path, headers={"Authorization": f"Bearer {key}"}) for ask in (client.get, client.head))
        assert by_head.status_code == by_get.status_code
        assert by_head.content == b""
        told = [
            {name: value for name, value in one.headers.items() if name != "RateLimit-Remaining"}
            for one in (by_get, by_head)
        ]
        # The policy of the page of documentation has a nonce.
        assert {**told[1], "Content-Security-Policy": ""} == {**told[0], "Content-Security-Policy": ""}
        assert int(by_head.headers["Content-Length"]) == len(by_get.content)


def test_head_counts_as_a_call(client: Client, bob: User) -> None:
    headers = {"Authorization": f"Bearer {new_key('credit:read')}"}
    left = [
        int(ask(CREDIT, headers=headers).headers["RateLimit-Remaining"])
        for ask in (client.get, client.head, client.get)
    ]
    assert left == [left[0], left[0] - 1, left[0] - 2]


@pytest.mark.parametrize(
    ("path", "allowed"), [(SPEND, WRITTEN), ("/api/v1/coupons/1", READ), ("/api/v1/rewards", READ)]
)
def test_options_says_by_what_a_call_is_made(client: Client, path: str, allowed: str) -> None:
    answer = client.options(path)
    assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, allowed, b"")
