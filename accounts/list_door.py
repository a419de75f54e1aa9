"""What the API's lists have in common: what they are asked, and how an instant is written."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Schema
from pydantic import AfterValidator, Field, StringConstraints

from accounts.api_door import Instant, Problem
from accounts.lists import Turn, UnableToReadCursor, Wanted

MOST_ROWS = 200


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_without_nul)]
Cursor = Annotated[str, StringConstraints(max_length=500)]


class ListIn(Schema):
    """Which part of a list is wanted, and of what. Ask with what an answer gave: cursors are opaque."""

    cursor: Cursor = Field("", description="`next` of the page before")
    since: Cursor = Field("", description="`changes` of an earlier answer: lists what has changed since")
    limit: int = Field(100, ge=1, le=MOST_ROWS, description="rows at most")
    account_id: Name | None = Field(None, examples=["acct-7"])
    start: Instant | None = Field(None, alias="from", examples=["2026-01-01T00:00:00Z"], description="from, inclusive")
    end: Instant | None = Field(None, alias="to", examples=["2026-02-01T00:00:00Z"], description="to, exclusive")

    @property
    def turn(self) -> Turn:
        return Turn(self.cursor, self.since, self.limit)

    @property
    def wanted(self) -> Wanted:
        more = {name: getattr(self, name, None) for name in ("state", "kind")}
        return Wanted(account_id=self.account_id, start=self.start, end=self.end, **more)


class ListOut(Schema):
    """`next` is the cursor of the following page, null after the last one; with `changes` as `since`, what has changed
    since the first page was read is listed, and so on from answer to answer."""

    next: str | None
    changes: str


def refuse_unknown(request: HttpRequest, form: type[Schema]) -> None:
    """Refuse a parameter that the list does not have: what was to be left out would be in. Raises Problem."""
    known = {field.alias or name for name, field in form.model_fields.items()}
    if unknown := sorted(set(request.GET) - known):
        errors = [{"at": ["query", name[:100]], "message": "is not a parameter of this list"} for name in unknown[:100]]
        raise Problem(422, "invalid", "The request does not have the form that is documented.", errors=errors)


def bad_cursor(fault: UnableToReadCursor) -> Problem:
    detail = "The cursor is not one of this list as it stands now: read the list again from its start."
    return Problem(422, fault.code, detail)
