"""The API's description: an example of every body, which works, and what each refusal looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import ApiKey
from tests.facts import NOW, register
from tests.test_api import new_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/api/v1/openapi.json").json()
    return described


def calls(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        yield from ((f"{method.upper()} {path}", call) for method, call in methods.items())


def has_example(media: dict[str, Any]) -> bool:
    return bool({"example", "examples"} & media.keys())


def test_every_call_is_written_about(schema: dict[str, Any]) -> None:
    words = (settings.BASE_DIR / "docs" / "api.md").read_text()
    calls = [path.replace("accounts/{account_id}", "accounts/{id}") for path in schema["paths"]]
    assert [call for call in calls if f"`{call}`" not in words and f" {call}`" not in words] == []


def test_examples_of_parameters_stand_where_openapi_has_them(schema: dict[str, Any]) -> None:
    calls = [call for path in schema["paths"].values() for call in path.values()]
    parameters = [parameter for call in calls for parameter in call.get("parameters", [])]
    assert {one["name"]: one["example"] for one in parameters if "example" in one}["from"] == "2026-01-01T00:00:00Z"
    assert [one for one in parameters if not isinstance(one.get("examples", {}), dict)] == []


def test_every_body_of_every_call_has_an_example(schema: dict[str, Any]) -> None:
    bodies = [
        (f"{name}: {status}", media)
        for name, call in calls(schema)
        for status, part in [("request", call.get("requestBody", {})), *call["responses"].items()]
        for media in part.get("content", {}).values()
    ]
    assert len(bodies) > 20
    assert [name for name, media in bodies if not has_example(media)] == []


def test_every_refusal_is_a_problem_with_its_code(schema: dict[str, Any]) -> None:
    for name, call in calls(schema):
        refusals = {status: part for status, part in call["responses"].items() if int(status) >= 400}
        assert {"401", "403", "429"} <= refusals.keys(), name
        for status, part in refusals.items():
            ((kind, media),) = part["content"].items()
            assert kind == "application/problem+json"
            assert (media["example"]["status"], bool(media["example"]["code"])) == (int(status), True)


def test_every_call_needs_a_key_and_says_how_it_is_sent(schema: dict[str, Any]) -> None:
    scheme = schema["components"]["securitySchemes"]["Key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert [name for name, call in calls(schema) if call.get("security") != [{"Key": []}]] == []


def test_limits_are_described_where_they_are_told(schema: dict[str, Any]) -> None:
    for _, call in calls(schema):
        assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"} == set(
            call["responses"]["429"]["headers"]
        )


def test_examples_work_one_after_the_other(client: Client, schema: dict[str, Any], time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    register("acct-7")
    headers = {"Authorization": f"Bearer {new_key(*ApiKey.Scope.values)}"}
    statuses = {}
    for name in ("POST /accounts", "PATCH /accounts/{account_id}", "POST /spend-events", "POST /abuse-reports"):
        method, path = name.split()
        call = schema["paths"][f"/api/v1{path}"][method.lower()]
        body = json.dumps(call["requestBody"]["content"]["application/json"]["example"])
        where = f"/api/v1{path}".replace("{account_id}", "acct-8")
        answer = client.generic(method, where, body, content_type="application/json", headers=headers)
        statuses[name] = answer.status_code
        assert str(answer.status_code) in call["responses"], answer.content
    assert list(statuses.values()) == [201, 200, 200, 201]


def test_page_is_found_from_every_page(client: Client) -> None:
    for address in ("/", "/terms/", "/api/v1/docs"):
        assert 'href="/api/v1/docs"' in client.get(address).content.decode()


def test_page_holds_to_the_policy_of_the_site(client: Client) -> None:
    answer = client.get("/api/v1/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    page = answer.content.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert "<h1>API</h1>" in page
