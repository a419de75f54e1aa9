"""What allauth does here in another way than by itself."""

import secrets
from functools import partial
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import get_language, gettext

from accounts import clock
from accounts.mail_kinds import ACCOUNT_NOTICE
from accounts.models import User
from accounts.operations import Message, UnableToChangeAddress, change_address, confirm_address, post
from accounts.templatetags.mail import plain_moment
from accounts.visitors import visitor_address


class AccountAdapter(DefaultAccountAdapter):
    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Staff start in the admin, customers in the console."""
        if isinstance(request.user, User) and request.user.is_staff:
            return reverse("admin:index")
        return str(super().get_login_redirect_url(request))

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that limits count by; whoever has none is let in nowhere."""
        address = visitor_address(request)
        if address is None:
            raise PermissionDenied("The visitor's address is not known.")
        return address

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Write the mail into the outbox, and send it as soon as what it tells of has committed."""
        if "timestamp" in context:
            context = {**context, "timestamp": plain_moment(context["timestamp"])}
        worded = self.render_mail(template_prefix, email, {"request": self.request, "email": email, **context})
        user = context.get("user")
        message = Message(
            key=f"account:{secrets.token_hex(16)}",
            kind=ACCOUNT_NOTICE,
            customer_id=user.pk if isinstance(user, User) else None,
            recipient=email,
            facts={
                "notice_subject": worded.subject,
                "body": worded.body,
                "code": context.get("code", ""),
                "language": get_language(),
            },
        )
        post(message=message, now=clock.now())

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm the address and register its account, or neither; a further address becomes the account's own."""
        if email_address.pk is None and email_address.user.is_registered:
            return self.change_to(request, email_address)
        return confirm_address(
            user_id=email_address.user_id, confirm=partial(super().confirm_email, request, email_address)
        )

    def change_to(self, request: HttpRequest, address: EmailAddress) -> bool:
        """Give the account the address whose code was entered; False if another account was faster."""
        try:
            change_address(user_id=address.user_id, email=address.email, now=clock.now())
        except UnableToChangeAddress:
            self.add_message(request, messages.ERROR, message=gettext("Your address could not be changed."))
            return False
        self.add_message(request, messages.SUCCESS, "account/messages/email_confirmed.txt", {"email": address.email})
        return True

    def add_message(self, *args: Any, **options: Any) -> None:
        """Tell the visitor what has come about, and not what the database undoes and begins anew."""
        transaction.on_commit(partial(super().add_message, *args, **options))
