"""The form by which a customer submits a document."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import countries
from accounts.models import AccountType, IdentityVerification
from accounts.operations import Identity, Submission

Document = IdentityVerification.Document

KINDS = {
    AccountType.INDIVIDUAL: [Document.PASSPORT, Document.IDENTITY_CARD, Document.DRIVING_LICENCE],
    AccountType.ENTERPRISE: [Document.COMPANY_REGISTER, Document.TAX_NUMBER],
}
ACCOUNT_TYPES = [(AccountType.INDIVIDUAL, _("An individual")), (AccountType.ENTERPRISE, _("An enterprise"))]
NO_DOCUMENT = ("", _("Choose a document"))
OF_PERSONS = [(kind.value, kind.label) for kind in KINDS[AccountType.INDIVIDUAL]]
OF_COMPANIES = [(kind.value, kind.label) for kind in KINDS[AccountType.ENTERPRISE]]


class VerificationForm(forms.Form):
    """Who the customer is, by which document."""

    account_type = forms.ChoiceField(label=_("You are"), choices=ACCOUNT_TYPES, widget=forms.RadioSelect)
    legal_name = forms.CharField(
        label=_("Legal name"), max_length=200, help_text=_("As the document shows it."),
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )  # fmt: skip
    country = forms.ChoiceField(
        label=_("Country of the document"), choices=lambda: [("", _("Choose a country")), *countries()]
    )
    document_kind = forms.ChoiceField(
        label=_("Document"),
        choices=[NO_DOCUMENT, (_("For an individual"), OF_PERSONS), (_("For an enterprise"), OF_COMPANIES)],
    )
    number = forms.CharField(
        label=_("Number of the document"),
        max_length=100,
        help_text=_("We keep its last three characters, and a fingerprint by which we would know it again."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"}),
    )

    def __init__(self, *args: Any, upgrades: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if upgrades:
            self.fields["account_type"].widget = forms.HiddenInput()
            self.fields["document_kind"].choices = [NO_DOCUMENT, *OF_COMPANIES]  # type: ignore[attr-defined]
            self.initial["account_type"] = AccountType.ENTERPRISE

    def clean(self) -> dict[str, Any]:
        """Let nobody prove that they are a company by a passport."""
        answer = super().clean() or {}
        kind, account_type = answer.get("document_kind"), answer.get("account_type")
        if kind and account_type and kind not in KINDS[AccountType(account_type)]:
            self.add_error("document_kind", _("This document does not fit: choose one for what you are."))
        return answer

    def submission(self) -> Submission:
        """What is submitted."""
        answer = self.cleaned_data
        identity = Identity(answer["country"], answer["document_kind"], answer["number"])
        return Submission(answer["account_type"], answer["legal_name"], identity)
