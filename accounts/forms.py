"""The forms of sign-up, in the words of allauth's pages."""

from collections.abc import Mapping
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import BaseConfirmCodeForm, ConfirmEmailVerificationCodeForm, SignupForm
from allauth.account.internal.flows.email_verification import consume_email_verification_rate_limit
from allauth.account.internal.userkit import filter_users_by_email
from babel import Locale
from django import forms
from django.contrib.auth.hashers import make_password
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.models import AccountType, User
from accounts.operations import UnableToSignUp, sign_up

# Two-letter codes that babel knows and that are no country or territory with an address.
NOT_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}

EMAIL_LENGTH = 254


def countries() -> list[tuple[str, str]]:
    """Every country with its two-letter code (ISO 3166), by name."""
    names = Locale(get_language() or "en").territories
    listed = [(code, name) for code, name in names.items() if len(code) == 2 and code.isalpha()]
    return sorted([pair for pair in listed if pair[0] not in NOT_COUNTRIES], key=lambda pair: pair[1])


class SignUpForm(SignupForm):
    """E-mail address, password, account type and country. An address that only an unconfirmed sign-up has is free to
    take."""

    account_already_exists: bool
    account_type = forms.ChoiceField(
        label=_("Account type"),
        choices=[(AccountType.INDIVIDUAL, _("Individual")), (AccountType.ENTERPRISE, _("Enterprise"))],
        initial=AccountType.INDIVIDUAL,
        required=False,
        widget=forms.RadioSelect,
    )
    country = forms.ChoiceField(label=_("Country"), choices=lambda: [("", _("Choose a country")), *countries()])
    field_order = ["email", "password1", "account_type", "country"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # allauth lets through more than the account's address holds.
        self.fields["email"].validators.append(MaxLengthValidator(EMAIL_LENGTH))
        self.fields["email"].widget.attrs["maxlength"] = str(EMAIL_LENGTH)
        self.fields["email"].widget.attrs.pop("placeholder", None)
        self.fields["password1"].widget.attrs.pop("placeholder", None)
        self.fields["password1"].help_text = _("At least 8 characters, and nothing that is easily guessed.")

    def attribution(self) -> Mapping[str, object]:
        """What the form says of who referred the customer."""
        return {}

    def validate_unique_email(self, value: str) -> str:
        """Take an address that no registered account has; of another, allauth tells nobody but its owner."""
        if all(is_unconfirmed(user) for user in filter_users_by_email(value)):
            return value
        return str(super().validate_unique_email(value))

    def clean(self) -> dict[str, Any]:
        """Refuse a sign-up that comes too soon after another with its address, before that one gives way."""
        cleaned: dict[str, Any] = super().clean()
        email = cleaned.get("email")
        if email and not consume_email_verification_rate_limit(self.current_request(), email, dry_run=True):
            self.add_error("email", get_adapter().validation_error("rate_limited"))
        return cleaned

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Sign up; if the address was taken this moment, go on as if it always had been."""
        if self.account_already_exists:
            # As long as a sign-up takes: the time must not tell who has an account.
            make_password(self.cleaned_data["password1"])
        try:
            user, response = super().try_save(request)
        except UnableToSignUp:
            self.account_already_exists = True
            user, response = super().try_save(request)
        return user, response

    def save(self, request: HttpRequest) -> User:
        """Open the account."""
        return sign_up(
            email=self.cleaned_data["email"],
            password=self.cleaned_data["password1"],
            country=self.cleaned_data["country"],
            declared_type=AccountType(self.cleaned_data["account_type"] or AccountType.INDIVIDUAL),
            attribution=self.attribution(),
            now=clock.now(),
        )

    @staticmethod
    def current_request() -> HttpRequest:
        request: HttpRequest = get_adapter().request
        return request


class ConfirmCodeForm(ConfirmEmailVerificationCodeForm):
    """The code from the mail, for an account that is still there: a newer sign-up may have taken its place."""

    def clean_code(self) -> str:
        """Take the code only for an account that can be confirmed; `gone` where it is right and comes too late."""
        if self.user is not None and self.user.is_registered and self.email != self.user.email:
            # A change of address: whether it is free shows when it is carried out, as a sign-up with it gives way.
            return str(BaseConfirmCodeForm.clean_code(self))
        if self.user is None:
            BaseConfirmCodeForm.clean_code(self)
            raise forms.ValidationError(_("This sign-up is no more."), code="gone")
        return str(super().clean_code())


def is_unconfirmed(user: User) -> bool:
    """Whether this is a sign-up that gives way to a newer one."""
    return not user.is_registered and not user.is_staff
