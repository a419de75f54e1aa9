"""The doors of accounts that allauth has in another way."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification_by_code import EMAIL_VERIFICATION_CODE_SESSION_KEY
from allauth.account.views import ConfirmEmailVerificationCodeView
from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.limits import ENTER_CODE

THIRD_WRONG = _("That was the third wrong code: sign in, and we send you a new one.")
RUN_OUT = _("This code has run out: sign in, and we send you a new one.")
GONE = _("This sign-up is no more: a newer one has taken its place. Use the newer code, or sign up again.")
THIRD_WRONG_OF_A_CHANGE = _("That was the third wrong code. Your address is as it was; ask for a new code.")
RUN_OUT_OF_A_CHANGE = _("This code has run out. Your address is as it was; ask for a new code.")


@require_safe
@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """Lead to where an account's holder starts; a visitor, to the page that lets them in."""
    if request.user.is_authenticated:
        return redirect(get_adapter(request).get_login_redirect_url(request))
    return redirect("account_login")


@require_safe
@never_cache
def closed(request: HttpRequest) -> HttpResponse:
    """What whoever has just closed their account is told."""
    return render(request, "account/closed.html")


@method_decorator(login_not_required, name="dispatch")
class ConfirmCodeView(ConfirmEmailVerificationCodeView):
    """allauth's page for the mailed code, which says why a code is of no use and what to do then.

    Whoever is signed in confirms a new address; others the one that they signed up with.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Say so if the code was waited for too long."""
        waited = EMAIL_VERIFICATION_CODE_SESSION_KEY in request.session
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        if waited and self._process is None:
            messages.error(request, RUN_OUT_OF_A_CHANGE if self.is_change else RUN_OUT)
            return redirect("console:profile") if self.is_change else response
        return response

    @property
    def is_change(self) -> bool:
        """Whether this is about a new address of an account that is open."""
        return self.request.user.is_authenticated and not self.stage

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Lead back to the profile from there."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return {**context, "cancel_url": reverse("console:profile") if self.is_change else None}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take so many codes for one address, right or wrong, in whatever browser."""
        if self._action == "verify":
            refused: HttpResponse | None = ratelimit.consume_or_429(
                request, action=ENTER_CODE, key=self._process.email.lower()
            )
            if refused:
                return refused
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response

    def _verify_form_invalid(self, form: Any) -> HttpResponse:
        # An address that another account has takes no code, and says so no sooner than a wrong one.
        if form.has_error("code", "gone") and not self.is_change:
            self._process.abort()
            messages.error(self.request, GONE)
            return redirect("account_signup")
        if not self._process.record_invalid_attempt():
            messages.error(self.request, THIRD_WRONG_OF_A_CHANGE if self.is_change else THIRD_WRONG)
            return redirect("console:profile" if self.is_change else "account_login")
        # Past allauth's own: it would count the attempt again.
        return self.render_to_response(self.get_context_data(form=form))  # type: ignore[no-any-return]
