"""The doors for newcomers: the programme, a customer's link, and sign-up with its code."""

from typing import Any

from allauth.account.internal.stagekit import clear_login
from allauth.account.stages import LoginStage
from allauth.account.views import SignupView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from referrals import visits
from referrals.forms import SignUpForm
from referrals.queries.links import is_link, is_own_link, offer, working_link


@require_safe
@never_cache
def landing(request: HttpRequest) -> HttpResponse:
    """The programme in three steps, in the numbers in force."""
    return render(request, "referrals/landing.html", {"offer": offer(at=clock.now())})


@require_safe
@never_cache
def link(request: HttpRequest, code: str) -> HttpResponse:
    """What a newcomer gets through this link, and the way in; the browser remembers the code."""
    if request.user.is_authenticated and is_own_link(code=code, user_id=request.user.pk):
        return redirect("console:refer")
    now = clock.now()
    found = working_link(code=code, at=now)
    offered = offer(at=now)
    form = SignUpForm(brought=found.code if found else "")
    response = render(request, "referrals/link.html", {"form": form, "link": found, "offer": offered})
    if request.user.is_authenticated:
        return response
    if found:
        visits.remember(response, code=found.code, now=now, days=offered.terms.attribution_days)
    elif is_link(code=code):
        # The link last visited counts, also where it brings nothing (TERMS: What a new customer gets).
        visits.forget(response)
    return response


class SignUpView(SignupView):
    """allauth's sign-up, with the code of the link last visited in its form."""

    form_class = SignUpForm

    def get_form_kwargs(self) -> dict[str, Any]:
        """Bring the code, if its link still works."""
        now = clock.now()
        days = offer(at=now).terms.attribution_days
        remembered = visits.remembered(self.request, now=now, days=days)
        found = working_link(code=remembered, at=now) if remembered else None
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
