"""The demo's doors. Outside the demo there is none: each answers 404."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from csp import constants as csp
from csp.decorators import csp_replace, csp_update
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from accounts import clock
from accounts.models import User
from accounts.operations.demo_clock import UnableToMoveClock, move_clock
from referral_site.demo.forms import STEPS, MoveClockForm
from referral_site.demo.jobs import run_jobs
from referral_site.demo.mail import mail_at, newest_mails, page_of
from referral_site.demo.operations import PURCHASE, UnableToBuy, UnableToRefund, buy, refund_last_purchase
from referral_site.demo.queries import referral_of
from referral_site.demo.story import FRIEND, REFERRER, STAFF
from referrals.models import Referral

View = Callable[..., HttpResponseBase]

LOGINS = {"referrer": REFERRER, "friend": FRIEND, "staff": STAFF}
LANDINGS = {"referrer": "console:refer", "friend": "console:coupons", "staff": "admin:index"}
LATER = "The jobs have not finished yet: they go on by themselves, so look again in a moment."


def demo_only(view: View) -> View:
    """Answer 404 unless this is the demo."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.DEMO:
            raise Http404
        return view(request, *args, **kwargs)

    return answer


@demo_only
@require_POST
def sign_in(request: HttpRequest, who: str) -> HttpResponse:
    """Sign in as one of the demo's people, without a password."""
    user = get_object_or_404(User, email=LOGINS.get(who))
    login(request, user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return redirect(LANDINGS[who])


@demo_only
def move(request: HttpRequest) -> HttpResponse:
    """Show the clock; moved on, run the jobs that beat runs."""
    if request.method != "POST":
        return render(request, "demo/clock.html", {"steps": STEPS})
    form = MoveClockForm(request.POST)
    if not form.is_valid():
        return render(request, "demo/clock.html", {"steps": STEPS, "form": form}, status=400)
    try:
        move_clock(by=form.by)
    except UnableToMoveClock:
        messages.error(request, "The clock stands a century ahead: it goes no further.")
        return redirect("demo:clock")
    tell_outcome(request, f"The clock moved on by {form.cleaned_data['days']} days.")
    return redirect("demo:clock")


@demo_only
@require_safe
@csp_update({"frame-src": [csp.SELF]})
def mail(request: HttpRequest) -> HttpResponse:
    """List the mails that were sent, the newest first."""
    folder = mail_folder()
    mails = newest_mails(folder) if folder else []
    return render(request, "demo/mail.html", {"mails": mails, "in_files": bool(folder)})


@demo_only
@require_safe
@xframe_options_sameorigin
def mail_page(request: HttpRequest, place: str) -> HttpResponseBase:
    """Show one mail's HTML alone, with no right to do anything but to look as its own styles say."""
    folder = mail_folder()
    found = mail_at(folder, place) if folder else None
    if found is None or not found.html:
        raise Http404
    page = page_of(found.html)
    policy = {"default-src": [csp.NONE], "style-src": page.style_hashes, "frame-ancestors": [csp.SELF]}
    policy["sandbox"] = ["allow-top-navigation-by-user-activation"]

    @csp_replace(policy)
    def alone(request: HttpRequest) -> HttpResponse:
        return HttpResponse(page.html)

    return alone(request)


def mail_folder() -> Path | None:
    """Where mails lie; nowhere, where they are really sent."""
    folder = getattr(settings, "EMAIL_FILE_PATH", None)
    return Path(folder) if folder else None


@demo_only
@require_POST
@login_required
def spend(request: HttpRequest, referral_id: int) -> HttpResponse:
    """Let a friend of the reader spend $25."""
    referral = referral_or_404(request, referral_id)
    try:
        buy(friend=referral.friend, now=clock.now())
    except UnableToBuy as refusal:
        messages.error(request, f"The purchase was refused ({refusal.code}).")
        return back(request)
    tell_outcome(request, f"The friend paid ${PURCHASE} for Elastic Compute Service.")
    return back(request)


@demo_only
@require_POST
@login_required
def refund(request: HttpRequest, referral_id: int) -> HttpResponse:
    """Refund the latest purchase of a friend of the reader."""
    referral = referral_or_404(request, referral_id)
    try:
        amount = refund_last_purchase(friend=referral.friend, now=clock.now())
    except UnableToRefund:
        messages.error(request, "There is no purchase to refund.")
        return back(request)
    tell_outcome(request, f"The friend's purchase of ${amount} was refunded.")
    return back(request)


def referral_or_404(request: HttpRequest, referral_id: int) -> Referral:
    """The reader's referral of this friend; nobody makes other people's friends spend."""
    assert isinstance(request.user, User)
    try:
        return referral_of(referrer=request.user, referral_id=referral_id)
    except Referral.DoesNotExist:
        raise Http404 from None


def tell_outcome(request: HttpRequest, fact: str) -> None:
    """Run the jobs, and say what happened."""
    settled = run_jobs(now=clock.now())
    messages.success(request, f"{fact} The jobs of Celery beat have run." if settled else f"{fact} {LATER}")


def back(request: HttpRequest) -> HttpResponse:
    """Return to the page whose button was pressed."""
    target = request.POST.get("next", "")
    return redirect(target if url_has_allowed_host_and_scheme(target, allowed_hosts=None) else "/")
