"""Sign-up with the code of the customer who referred the newcomer."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django import forms
from django.core import signing
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.forms import SignUpForm as AccountSignUpForm
from referrals.queries.links import working_link

SIGNER = signing.Signer(salt="referrals.forms.brought_code")


def sign_brought(code: str) -> str:
    """A code as the form carries it when the page has brought it; nothing where it has brought none."""
    return SIGNER.sign(code) if code else ""


class SignUpForm(AccountSignUpForm):
    """Sign-up with a referral code in plain sight: brought by the link last visited, or typed, or none."""

    referral_code = forms.CharField(
        label=_("Referral code"),
        required=False,
        max_length=2000,
        help_text=_("Leave it empty if nobody invited you."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    # The code as the page brought it, signed: a browser without cookies gives nothing else to tell it from a typed one.
    brought_code = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)
    field_order = ["email", "password1", "account_type", "country", "referral_code"]

    def __init__(self, *args: Any, brought: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.brought = brought
        self.fields["referral_code"].initial = brought
        self.fields["brought_code"].initial = sign_brought(brought)

    def clean_referral_code(self) -> str:
        """Take the code of a link that works; a whole link will do."""
        address = re.split("[?#]", self.cleaned_data["referral_code"].strip(), maxsplit=1)[0]
        typed = address.rstrip("/").rpartition("/")[2]
        if not typed:
            return ""
        link = working_link(code=typed, at=clock.now())
        if link is None:
            raise forms.ValidationError(
                _("No link with this code is active. Correct the code, or clear it to sign up without one."),
                code="code",
            )
        return link.code

    def clean_brought_code(self) -> str:
        """Take what the page brought; nothing where that was changed."""
        with suppress(signing.BadSignature):
            return SIGNER.unsign(self.cleaned_data["brought_code"])
        return ""

    def attribution(self) -> Mapping[str, object]:
        """The code, and whether the visitor typed it; nothing where it was cleared."""
        code = self.cleaned_data["referral_code"]
        return {"code": code, "typed": code not in (self.brought, self.cleaned_data["brought_code"])} if code else {}
