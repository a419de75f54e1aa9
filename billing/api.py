"""The API's doors of billing: spend."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from accounts import clock
from accounts.api_door import Key, ProblemOut
from accounts.models import ApiKey
from billing.operations import SpendFact, record_spend

MOST_EVENTS = 10_000
SOURCE = "billing"

Cell = Annotated[str, StringConstraints(strict=True, max_length=1000)]

router = Router(tags=["spend"])


# Pydantic's own models: ninja's ask each field of each event whether it is an object of Django's, which takes as long
# as all else that a batch takes.


class SpendEventIn(BaseModel):
    """One payment or reversal, in the fields of the spend file."""

    model_config = ConfigDict(extra="forbid")

    event_id: Cell = Field(examples=["pay-2026-000123"])
    account_id: Cell = Field(examples=["acct-7"])
    type: Cell = Field(examples=["payment"], description="payment, refund, chargeback or chargeback_reversal")
    product: Cell = Field("", examples=["ecs"], description="for a payment")
    currency: Cell = Field(examples=["USD"])
    amount: Cell = Field(examples=["12.50"], description="what was paid in cash, without tax")
    occurred_at: Cell = Field(examples=["2026-01-05T09:00:00Z"])
    payment_id: Cell = Field("", examples=[""], description="for a reversal: the event_id of its payment")


class SpendEventsIn(BaseModel):
    """A batch, recorded in one transaction, in its order."""

    model_config = ConfigDict(extra="forbid")

    events: list[SpendEventIn] = Field(min_length=1, max_length=MOST_EVENTS)


class RefusedEvent(Schema):
    """An event that was refused. `index` is its place in the call, and null for a reversal that waited since before."""

    index: int | None
    event_id: str
    code: str
    message: str


class SpendEventsOut(Schema):
    """What became of the events, each counted once."""

    accepted: int
    waiting: int
    duplicate: int
    refused: int
    refusals: list[RefusedEvent]


@router.post(
    "/spend-events",
    auth=Key(ApiKey.Scope.SPEND_WRITE),
    response={200: SpendEventsOut, (400, 401, 403, 413, 422, 429): ProblemOut},
    summary="Record payments and reversals",
)
def post_spend_events(request: HttpRequest, batch: SpendEventsIn) -> SpendEventsOut:
    """Record up to 10,000 events in their order. 200 also where some are refused; sent again, all are duplicates."""
    facts = [SpendFact(line, *event.__dict__.values()) for line, event in enumerate(batch.events)]
    receipt = record_spend(source=SOURCE, facts=facts, now=clock.now())
    refusals = [
        RefusedEvent(index=one.line, event_id=one.fact["event_id"], code=one.code, message=one.message)
        for one in receipt.refusals
    ]
    return SpendEventsOut(**receipt.tally.__dict__, refusals=refusals)
