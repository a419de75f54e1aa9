"""What the API's description says of every call beside its own words: an example of each body, and what a refusal looks
like."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

Part = dict[str, Any]

PROBLEM = "#/components/schemas/ProblemOut"
KEY = "A key that staff have made in the admin. It does what its scopes say."
FORM = "The request does not have the form that is documented."
# What a call may be refused with, by status: the code and its words.
PROBLEMS: dict[str, tuple[str, str]] = {
    "400": ("json", "The body is not JSON: unexpected end of data: line 1 column 2 (char 1)."),
    "401": ("key", "The key is unknown, expired, revoked or not good from here."),
    "403": ("scope", "The key lacks the scope that the call needs."),
    "404": ("account", "There is no such account."),
    "409": ("conflict", "The id is known with other content."),
    "413": ("size", "The body is larger than 8 MB."),
    "422": ("invalid", FORM),
    "429": ("limit", "At most 600 calls a minute: try again in 40 s."),
}
AT_FAULT = [{"at": ["body", "email"], "message": "Input should be a valid string"}]
LIMITS = {
    "RateLimit-Limit": "calls that the key may make in a minute",
    "RateLimit-Remaining": "calls that are left of this minute",
    "RateLimit-Reset": "seconds until the next minute begins",
}
HEADERS = {"401": {"WWW-Authenticate": "Bearer"}, "429": {"Retry-After": "seconds to wait"}}
# Of fields that have no example of their own.
BY_NAME = {
    "account_id": "acct-8",
    "report_id": "abuse-2026-0042",
    "event_id": "refund-2026-000007",
    "redemption_id": "order-4711",
    "return_id": "return-4711-1",
    "product": "ecs",
    "code": "exceeds",
    "message": "the reversal exceeds what is left of its payment",
    "currency": "USD",
    "amount": "20.00",
    "remaining": "12.50",
    "usable": "12.50",
    "trial": "300.00",
    "outstanding": "5.00",
    "kind": "payout",
}
BY_FORMAT = {"date-time": "2026-01-05T09:00:00Z", "date": "2026-01-05", "uri": "https://example.com/hook"}
BY_TYPE: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": False, "string": "…", "null": None}


def described(schema: Part) -> Part:
    """Complete the description that was made of the code; what a call says of itself stays."""
    schemas = schema["components"]["schemas"]
    schema["components"]["securitySchemes"]["Key"]["description"] = (
        "A key, made by staff in the admin, with its scopes."
    )
    for call in _calls(schema):
        for parameter in call.get("parameters", []):
            _exemplify_parameter(parameter)
        _exemplify(call.get("requestBody", {}).get("content", {}), schemas)
        for status, answer in call["responses"].items():
            status = str(status)
            _tell_problem(status, answer)
            _exemplify(answer.get("content", {}), schemas)
            answer["headers"] = _headers(status) | answer.get("headers", {})
    return schema


def example_of(part: Part, schemas: Part) -> Any:
    """Return an example of what a schema describes: of its own examples where it has some."""
    if "$ref" in part:
        return example_of(schemas[part["$ref"].rpartition("/")[2]], schemas)
    for given in ("examples", "enum"):
        if part.get(given):
            return part[given][0]
    for given in ("const", "default"):
        if given in part:
            return part[given]
    for kinds in ("allOf", "anyOf", "oneOf"):
        if part.get(kinds):
            return example_of(part[kinds][0], schemas)
    return _example_by_type(part, schemas)


def _example_by_type(part: Part, schemas: Part) -> Any:
    if part.get("type") == "object":
        return {name: _example_of_field(name, one, schemas) for name, one in part.get("properties", {}).items()}
    if part.get("type") == "array":
        return [example_of(part.get("items", {}), schemas)]
    return BY_FORMAT.get(part.get("format", ""), BY_TYPE.get(part.get("type", "string")))


def _example_of_field(name: str, part: Part, schemas: Part) -> Any:
    is_plain = part.get("type") == "string" and not {"examples", "enum", "format", "default"} & part.keys()
    return BY_NAME[name] if is_plain and name in BY_NAME else example_of(part, schemas)


def _calls(schema: Part) -> Iterator[Part]:
    for path in schema["paths"].values():
        yield from (call for call in path.values() if isinstance(call, dict) and "responses" in call)


def _exemplify_parameter(parameter: Part) -> None:
    """Ninja lifts a field's list of examples onto its parameter, where OpenAPI has a map."""
    if isinstance(given := parameter.get("examples"), list):
        del parameter["examples"]
        parameter["example"] = given[0]


def _exemplify(content: Part, schemas: Part) -> None:
    for media in content.values():
        if not {"example", "examples"} & media.keys() and "schema" in media:
            media["example"] = example_of(media["schema"], schemas)


def _tell_problem(status: str, answer: Part) -> None:
    """A problem has its own media type, and an example for each code."""
    content = answer.get("content", {})
    media = content.get("application/json", {})
    if media.get("schema", {}).get("$ref") != PROBLEM:
        return
    del content["application/json"]
    content["application/problem+json"] = media
    if status in PROBLEMS and not {"example", "examples"} & media.keys():
        media["example"] = _problem(int(status), *PROBLEMS[status])


def _problem(status: int, code: str, detail: str) -> Part:
    problem: Part = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return problem | ({"errors": AT_FAULT} if code == "invalid" else {})


def _headers(status: str) -> Part:
    told = ({} if status == "401" else LIMITS) | HEADERS.get(status, {})
    return {name: {"description": what, "schema": {"type": "string"}} for name, what in told.items()}
