"""The terms' numbers in the operator's words: {trial_individual} becomes $300."""

import re
from collections.abc import Callable
from decimal import Decimal

from django.db.models import DecimalField

from accounts.templatetags.wording import percent, short_dollars
from referrals.models import ProgrammeTerms

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
WORDED: dict[str, Callable[[Decimal], str]] = {
    field.name: percent if field.name == "bonus_rate" else short_dollars if isinstance(field, DecimalField) else str
    for field in ProgrammeTerms._meta.fields
    if field.name not in ("id", "starts_at")
}


def fill_in(text: str, terms: ProgrammeTerms) -> str:
    """Put the numbers of these terms in the place of their names; what names none stays as it is."""

    def worded(found: re.Match[str]) -> str:
        name = found[1]
        return WORDED[name](getattr(terms, name)) if name in WORDED else found[0]

    return PLACEHOLDER.sub(worded, text)


def unknown_in(text: str) -> list[str]:
    """Return the placeholders of a text that name no number of the terms."""
    return [found for found in PLACEHOLDER.findall(text) if found not in WORDED]
