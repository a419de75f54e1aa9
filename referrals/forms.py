"""Sign-up with the code of the customer who referred the newcomer."""

from collections.abc import Mapping
from typing import Any

from django import forms

from accounts.forms import SignUpForm as AccountSignUpForm
from referrals.queries.links import working_link


class SignUpForm(AccountSignUpForm):
    """Sign-up with a referral code in plain sight: brought by the link last visited, or typed, or none."""

    referral_code = forms.CharField(
        label="Referral code",
        required=False,
        max_length=300,
        help_text="Leave it empty if nobody invited you.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    field_order = ["email", "password1", "country", "referral_code"]

    def __init__(self, *args: Any, brought: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.brought = brought
        self.fields["referral_code"].initial = brought

    def clean_referral_code(self) -> str:
        """Take the code of a link that works; a whole link will do."""
        typed = self.cleaned_data["referral_code"].strip().rstrip("/").rpartition("/")[2]
        if not typed:
            return ""
        link = working_link(code=typed)
        if link is None:
            raise forms.ValidationError(
                "No link with this code is active. Correct the code, or clear it to sign up without one.", code="code"
            )
        return link.code

    def attribution(self) -> Mapping[str, object]:
        """The code, and whether the visitor typed it; nothing where it was cleared."""
        code = self.cleaned_data["referral_code"]
        return {"code": code, "typed": code != self.brought} if code else {}
