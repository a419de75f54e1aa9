"""The form of the sandbox: a test number in place of a card."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.gateways import UnableToTakeCard
from billing.gateways.sandbox import slip_for

YEARS_AHEAD = 15


class UnechoedInput(forms.TextInput):
    """A field whose page never says what was typed into it before."""

    def format_value(self, value: Any) -> None:
        """Say nothing."""


class SandboxCardForm(forms.Form):
    """A test number, and a month of expiry to try out."""

    number = forms.CharField(
        label=_("Test number"),
        max_length=40,
        help_text=_("One of the numbers below. Never enter the number of a real card."),
        # No autocomplete: the browser would offer the reader's real cards.
        widget=UnechoedInput(attrs={"inputmode": "numeric", "autocomplete": "off", "spellcheck": "false"}),
    )
    expiry_month = forms.TypedChoiceField(label=_("Month of expiry"), coerce=int, choices=())
    expiry_year = forms.TypedChoiceField(label=_("Year of expiry"), coerce=int, choices=())

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        months = [(month, f"{month:02}") for month in range(1, 13)]
        years = [(year, str(year)) for year in range(now.year, now.year + YEARS_AHEAD + 1)]
        self.fields["expiry_month"].choices = months  # type: ignore[attr-defined]
        self.fields["expiry_year"].choices = years  # type: ignore[attr-defined]
        self.fields["expiry_month"].initial = 12
        self.fields["expiry_year"].initial = now.year + 3

    def clean(self) -> dict[str, Any]:
        """Turn the number into the name of a test card, and let go of it."""
        answer = super().clean() or {}
        number = answer.pop("number", None)
        if number is not None and not self.errors:
            try:
                answer["entry"] = slip_for(number, month=answer["expiry_month"], year=answer["expiry_year"])
            except UnableToTakeCard as refusal:
                self.add_error("number", str(refusal))
        return answer
