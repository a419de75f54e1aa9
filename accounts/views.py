"""The doors of accounts that allauth has in another way."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification_by_code import EMAIL_VERIFICATION_CODE_SESSION_KEY
from allauth.account.views import ConfirmEmailVerificationCodeView
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

THIRD_WRONG = "That was the third wrong code: sign in, and we send you a new one."
RUN_OUT = "This code has run out: sign in, and we send you a new one."
GONE = "This sign-up is no more: a newer one has taken its place. Use the newer code, or sign up again."


@require_safe
@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """Lead to where an account's holder starts; a visitor, to the page that lets them in."""
    if request.user.is_authenticated:
        return redirect(get_adapter(request).get_login_redirect_url(request))
    return redirect("account_login")


@method_decorator(login_not_required, name="dispatch")
class ConfirmCodeView(ConfirmEmailVerificationCodeView):
    """allauth's page for the mailed code, which says why a code is of no use and what to do then."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Say so if the code was waited for too long."""
        waited = EMAIL_VERIFICATION_CODE_SESSION_KEY in request.session
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        if waited and self._process is None:
            messages.error(request, RUN_OUT)
        return response

    def _verify_form_invalid(self, form: Any) -> HttpResponse:
        if form.has_error("code", "gone"):
            self._process.abort()
            messages.error(self.request, GONE)
            return redirect("account_signup")
        if not self._process.record_invalid_attempt():
            messages.error(self.request, THIRD_WRONG)
            return redirect("account_login")
        # Past allauth's own: it would count the attempt again.
        return self.render_to_response(self.get_context_data(form=form))  # type: ignore[no-any-return]
