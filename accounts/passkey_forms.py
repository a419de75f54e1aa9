"""The form to add a passkey."""

from typing import Any

from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django.utils.translation import gettext


class AddPasskeyForm(AddWebAuthnForm):
    """allauth's form, in which a key signs in by itself unless its holder wants it as a second factor only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"name": gettext("Passkey"), "passwordless": True} | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)
