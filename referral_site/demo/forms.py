"""What the demo's buttons send."""

from datetime import timedelta

from django import forms

STEPS = (1, 30, 90, 180)


class MoveClockForm(forms.Form):
    """By how many days the clock moves on."""

    days = forms.TypedChoiceField(choices=[(days, days) for days in STEPS], coerce=int)

    @property
    def by(self) -> timedelta:
        return timedelta(days=self.cleaned_data["days"])
