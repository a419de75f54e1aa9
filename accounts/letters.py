"""A mail's words: its subject, its text and its HTML, in its reader's language and time zone.

One template a kind says them once for all three: `mail/subject.txt`, `mail/text.txt` and `mail/page.html` lay it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError, engines
from django.utils import timezone, translation

from accounts.mail_kinds import SWITCHES, TO_ELSEWHERE
from accounts.middleware import zone_named
from accounts.models import User

FAULTS = (
    TemplateDoesNotExist, TemplateSyntaxError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip
"""What can be wrong with one mail's facts or its template."""


class UnableToCompose(Exception):
    """The mail cannot be worded; `code` is the name of what is wrong."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Friend(NamedTuple):
    """All that a mail may say of a friend: when they joined, and the first name that they chose to show."""

    joined_at: datetime
    public_first_name: str = ""
    is_gone: bool = False


class Letter(NamedTuple):
    """A mail as it is sent."""

    subject: str
    text: str
    html: str


def compose(
    *, kind: str, facts: Mapping[str, Any], reader: User | None, friends: Mapping[int, Friend], now: datetime
) -> Letter:
    """Word a mail of this kind as of `now`. Raises UnableToCompose."""
    chosen = [reader.language if reader else "", facts.get("language")]
    language = next((one for one in chosen if one in dict(settings.LANGUAGES)), settings.LANGUAGE_CODE)
    zone = zone_named(reader.time_zone) if reader else None
    with translation.override(language), timezone.override(zone):
        try:
            return _worded(kind, {**_typed(facts, friends), **_frame_of(kind), "now": now})
        except FAULTS as fault:
            raise UnableToCompose(type(fault).__name__) from fault


def _frame_of(kind: str) -> dict[str, object]:
    """What a mail says besides its facts: why it comes, and from whom."""
    return {
        "switch": SWITCHES.get(kind, ""),
        "has_profile": kind not in TO_ELSEWHERE,
        "operator": settings.OPERATOR_NAME,
    }


def friends_in(facts: object) -> Iterator[int]:
    """Yield the customers that the facts name as friends."""
    if isinstance(facts, Mapping):
        for name, value in facts.items():
            if name == "friend_id" and isinstance(value, int):
                yield value
            else:
                yield from friends_in(value)
    elif isinstance(facts, list):
        for one in facts:
            yield from friends_in(one)


def _worded(kind: str, facts: Mapping[str, Any]) -> Letter:
    subject = _one_line(_rendered(kind, "mail/subject.txt", facts))
    text = _rendered(kind, "mail/text.txt", facts)
    return Letter(
        subject=subject,
        text=re.sub(r"\n\s*\n\s*", "\n\n", text).strip() + "\n",
        html=_rendered(kind, "mail/page.html", {**facts, "subject": subject}),
    )


def _rendered(kind: str, layout: str, facts: Mapping[str, Any]) -> str:
    is_text = layout.endswith(".txt")
    context = Context({**facts, "layout": layout, "is_text": is_text}, autoescape=not is_text)
    # The template itself: only there can a text be kept from being escaped.
    template = engines["django"].engine.get_template(f"mail/{kind}.html")  # type: ignore[attr-defined]
    return str(template.render(context))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _typed(facts: Mapping[str, Any], friends: Mapping[int, Friend]) -> dict[str, Any]:
    """Return the facts as what they were before they were JSON."""
    typed = {name: _typed_one(name, value, friends) for name, value in facts.items()}
    if "friend_id" in facts:
        typed["friend"] = friends[facts["friend_id"]]
    return typed


def _typed_one(name: str, value: Any, friends: Mapping[int, Friend]) -> Any:
    if isinstance(value, list):
        return [_typed_one(name, one, friends) for one in value]
    if isinstance(value, dict):
        return _typed(value, friends)
    if isinstance(value, str) and name.endswith(("_amount", "_rate")):
        return Decimal(value)
    if isinstance(value, str) and name.endswith("_at"):
        return datetime.fromisoformat(value)
    return value
