"""What allauth does here in another way than by itself."""

from functools import partial
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User
from accounts.operations import confirm_address


class AccountAdapter(DefaultAccountAdapter):
    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Staff start in the admin, customers in the console."""
        if isinstance(request.user, User) and request.user.is_staff:
            return reverse("admin:index")
        return str(super().get_login_redirect_url(request))

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm the address and register its account, or neither."""
        return confirm_address(
            user_id=email_address.user_id, confirm=partial(super().confirm_email, request, email_address)
        )

    def add_message(self, *args: Any, **options: Any) -> None:
        """Tell the visitor what has come about, and not what the database undoes and begins anew."""
        transaction.on_commit(partial(super().add_message, *args, **options))
