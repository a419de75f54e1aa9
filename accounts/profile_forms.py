"""What a customer says of themselves, and the address to change to."""

import unicodedata
import zoneinfo
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.forms import EMAIL_LENGTH
from accounts.operations import Profile

SEPARATORS = {" ", "-", "'", "\N{RIGHT SINGLE QUOTATION MARK}"}
LONGEST_FIRST_NAME = 40


def is_first_name(name: str) -> bool:
    """Whether this can be a first name: words of letters, one separator between two, and no more than two of them."""
    words = "".join(" " if sign in SEPARATORS else sign for sign in name).split(" ")
    return len(words) <= 3 and all(word and all(is_letter(sign) for sign in word) for word in words)


def is_letter(sign: str) -> bool:
    """A letter of any script, or a mark on one."""
    return unicodedata.category(sign)[0] in "LM"


def time_zones() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every zone of the IANA database, by region, with the ones that lie in none first."""
    regions: dict[str, list[tuple[str, str]]] = {"": []}
    for name in sorted(zoneinfo.available_timezones() - {"Factory", "localtime"}):
        region = name.partition("/")[0] if "/" in name else ""
        regions.setdefault(region, []).append((name, name.replace("_", " ")))
    return [(region or str(_("General")), zones) for region, zones in regions.items()]


class ProfileForm(forms.Form):
    """Name, language, time zone and mails."""

    public_first_name = forms.CharField(
        label=_("Public first name"),
        required=False,
        max_length=LONGEST_FIRST_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "given-name"}),
        help_text=_(
            "Friends whom you invite see it on your link, and whoever referred you sees it instead of the word Friend. "
            "Leave it empty to show no name."
        ),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=lambda: [("", _("As my browser asks for")), *settings.LANGUAGES],
    )
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zones)
    wants_friend_mail = forms.BooleanField(label=_("A friend has joined or qualified"), required=False)
    wants_credit_mail = forms.BooleanField(label=_("Credit has arrived"), required=False)
    wants_expiry_mail = forms.BooleanField(label=_("Credit is about to expire"), required=False)
    wants_account_mail = forms.BooleanField(label=_("News of your account, as of its verification"), required=False)

    def clean_public_first_name(self) -> str:
        """Take one name and no sentence, address or number."""
        name = unicodedata.normalize("NFC", str(self.cleaned_data["public_first_name"])).strip()
        if name and not is_first_name(name):
            raise forms.ValidationError(
                _("A first name has letters only, with a hyphen, an apostrophe or a space in between."), code="name"
            )
        return name

    def profile(self) -> Profile:
        """What was chosen."""
        return Profile(**self.cleaned_data)


class AddressForm(forms.Form):
    """The address to change to."""

    email = forms.EmailField(
        label=_("New e-mail address"),
        max_length=EMAIL_LENGTH,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    def __init__(self, *args: Any, present: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.present = present

    def clean_email(self) -> str:
        """Take another address than the present one, in lower case; whose it is, the form tells nobody."""
        email = str(self.cleaned_data["email"]).lower()
        if email == self.present:
            raise forms.ValidationError(_("This is your address already."), code="same")
        return email
