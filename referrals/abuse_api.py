"""The API's door of abuse: what an account is reported for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints

from accounts import clock
from accounts.api_door import Key, Problem, ProblemOut, Word
from accounts.models import ApiKey
from referrals.models import AbuseReport
from referrals.operations.abuse import ToldAbuse, UnableToReport, report_abuse

MOST_EVIDENCE = 20_000
DEEPEST = 10
LARGEST = 2.0**63
"""Whole numbers of 64 bits are kept as they are; beyond them, they would be read as other ones."""

router = Router(tags=["abuse"])


def _parts(value: Any) -> Iterator[tuple[Any, int]]:
    """Each part of a JSON value and how deep it stands, without recursion; names are parts too."""
    ahead = [(value, 1)]
    while ahead:
        one, depth = ahead.pop()
        yield one, depth
        inner = [*one, *one.values()] if isinstance(one, dict) else one if isinstance(one, list) else ()
        ahead += [(part, depth + 1) for part in inner]


def _words_or_object(evidence: Any) -> Any:
    """Say so once, and not for each of the two."""
    if not isinstance(evidence, str | dict):
        raise ValueError("evidence is neither words nor an object")
    return evidence


def _storable(evidence: Any) -> Any:
    if not evidence:
        raise ValueError("evidence is empty")
    for part, depth in _parts(evidence):
        if depth > DEEPEST:
            raise ValueError(f"evidence is nested more than {DEEPEST} deep")
        if isinstance(part, str) and "\0" in part:
            raise ValueError("evidence holds a NUL")
        if isinstance(part, float) and abs(part) >= LARGEST:
            raise ValueError("evidence holds a number that is too large")
    if len(json.dumps(evidence, ensure_ascii=False)) > MOST_EVIDENCE:
        raise ValueError(f"evidence is longer than {MOST_EVIDENCE} characters")
    return evidence


Words = Annotated[str, StringConstraints(strict=True)]
Evidence = Annotated[Words | dict[Words, JsonValue], BeforeValidator(_words_or_object), AfterValidator(_storable)]


class AbuseReportIn(Schema):
    """A report of abuse, under an id of the reporter's."""

    model_config = ConfigDict(extra="forbid")

    report_id: Word = Field(examples=["abuse-2026-0042"])
    account_id: Word = Field(examples=["acct-8"])
    kind: AbuseReport.Kind = Field(examples=["card_theft"])
    evidence: Evidence = Field(
        examples=["Three cards reported stolen were tried within an hour."],
        description=f"words, or an object; at most {MOST_EVIDENCE} characters, nested at most {DEEPEST} deep",
    )


class AbuseReportOut(Schema):
    """What is recorded of a report. `flag_id` is the hold on the account's own referral; null where nobody referred
    it."""

    report_id: str
    account_id: str
    kind: str
    received_at: datetime
    flag_id: int | None


@router.post(
    "/abuse-reports",
    auth=Key(ApiKey.Scope.ABUSE_WRITE),
    response={201: AbuseReportOut, (400, 401, 403, 409, 413, 422, 429): ProblemOut},
    summary="Report abuse by a customer",
)
def post_abuse_report(request: HttpRequest, report: AbuseReportIn) -> Status[AbuseReportOut]:
    """Record a report, and hold the rewards for the account until staff have looked at it.

    The same content again answers the same; other content under a known id is 409.
    """
    told = ToldAbuse(report.report_id, report.account_id, report.kind.value, report.evidence)
    try:
        known = report_abuse(told=told, now=clock.now())
    except UnableToReport as refusal:
        raise Problem(409 if refusal.code == "conflict" else 422, refusal.code, str(refusal)) from refusal
    answer = AbuseReportOut(
        report_id=known.report_id,
        account_id=known.customer.account_id,
        kind=known.kind,
        received_at=known.received_at,
        flag_id=known.flag_id,
    )
    return Status(201, answer)
