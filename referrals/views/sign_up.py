"""Sign-up, with the code of the link last visited in its form."""

from typing import Any

from allauth.account.internal.stagekit import clear_login
from allauth.account.stages import LoginStage
from allauth.account.views import SignupView
from django.http import HttpRequest, HttpResponseRedirect

from accounts import clock
from referrals import visits
from referrals.forms import SignUpForm
from referrals.queries.links import is_link, offer, working_link


class SignUpView(SignupView):
    """allauth's sign-up, with the code of the link last visited in its form, or of the link that leads here."""

    form_class = SignUpForm

    def get_form_kwargs(self) -> dict[str, Any]:
        """Bring the code, if its link still works."""
        now = clock.now()
        days = offer(at=now).terms.attribution_days
        # What Postgres cannot hold is in no code.
        leading = self.request.GET.get("code", "").replace("\0", "")
        found = working_link(code=leading, at=now) if leading else None
        # A link that is off brings nothing, as if it were visited; what is no link does not cost the one visited.
        if found is None and not (leading and is_link(code=leading)):
            visited = visits.remembered(self.request, now=now, days=days)
            found = working_link(code=visited, at=now) if visited else None
        return {**super().get_form_kwargs(), "brought": found.code if found else ""}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Show what the newcomer gets beside the form."""
        return {**super().get_context_data(**kwargs), "offer": offer(at=clock.now())}

    def _redirect_to_pending_stage(self, request: HttpRequest, stage: LoginStage) -> HttpResponseRedirect | None:
        # A form sent off is a new sign-up, as with an address corrected: it does not lead back to the code of the last.
        if request.method == "POST":
            clear_login(request)
            return None
        pending: HttpResponseRedirect | None = super()._redirect_to_pending_stage(request, stage)
        return pending
