"""What allauth does here in another way than by itself."""

from functools import partial

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.http import HttpRequest

from accounts.operations import confirm_address


class AccountAdapter(DefaultAccountAdapter):
    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm the address and register its account, or neither."""
        return confirm_address(
            user_id=email_address.user_id, confirm=partial(super().confirm_email, request, email_address)
        )
