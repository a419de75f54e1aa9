"""Account: Verification."""

from allauth.core import ratelimit
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import clock
from accounts.models import User
from accounts.operations import (
    UnableToMoveEligibility,
    UnableToVerify,
    move_eligibility,
    submit_verification,
)
from accounts.verification_forms import VerificationForm
from accounts.verification_queries import VerificationPage, verification_page


@sensitive_post_parameters("number", "legal_name")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def verification(request: HttpRequest) -> HttpResponse:
    """How far verification has come, and the form to submit a document."""
    reader = _reader(request)
    page = verification_page(customer_id=reader.pk)
    form = _form(request, page, reader)
    if form.is_valid():
        if not ratelimit.consume(request, action="submit_verification", user=reader):
            too_often: HttpResponse = ratelimit.respond_429(request)
            return too_often
        if _submitted(request, form, reader):
            return redirect("console:verification")
    context = {"page": page, "form": form, "section": "verification"}
    return render(request, "accounts/console/verification.html", context)


@require_POST
@login_required
def move(request: HttpRequest) -> HttpResponse:
    """Make this account the one of its person that refers friends."""
    try:
        move_eligibility(user_id=_reader(request).pk, now=clock.now())
    except UnableToMoveEligibility as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("This account is now the one that refers friends."))
    return redirect("console:verification")


def _reader(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # login_required
    return request.user


def _form(request: HttpRequest, page: VerificationPage, reader: User) -> VerificationForm:
    initial = {"account_type": reader.declared_type, "country": reader.country}
    return VerificationForm(request.POST or None, initial=initial, upgrades=page.upgrade is not None)


def _submitted(request: HttpRequest, form: VerificationForm, reader: User) -> bool:
    """Submit; return False where that is refused, and the form says why."""
    try:
        submit_verification(
            user_id=reader.pk, submission=form.submission(), passes_at_once=settings.DEMO, now=clock.now()
        )
    except UnableToVerify as refusal:
        form.add_error("number" if refusal.code in ("number", "identity") else None, str(refusal))
        return False
    return True
