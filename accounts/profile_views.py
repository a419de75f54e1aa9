"""Account: Profile, and the change of address."""

from allauth.account.internal.flows.email_verification_by_code import EmailVerificationProcess
from allauth.account.internal.userkit import filter_users_by_email
from allauth.core import ratelimit
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.forms import is_unconfirmed
from accounts.models import User
from accounts.operations import change_profile
from accounts.profile_forms import AddressForm, ProfileForm
from accounts.reauthentication import password_asked_again


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """What the customer tells of themselves, and which mails they want."""
    user = signed_in(request)
    form = ProfileForm(request.POST or None, initial={name: getattr(user, name) for name in ProfileForm.base_fields})
    if request.method == "POST" and form.is_valid():
        change_profile(user_id=user.pk, profile=form.profile())
        messages.success(request, gettext("Your profile is saved."))
        return redirect("console:profile")
    return render(request, "accounts/console/profile.html", {"section": "profile", "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@password_asked_again
def change_address(request: HttpRequest) -> HttpResponse:
    """Ask for the new address and send a code to it; the page for the code confirms it."""
    user = signed_in(request)
    form = AddressForm(request.POST or None, present=user.email)
    if request.method == "POST":
        refused: HttpResponse | None = ratelimit.consume_or_429(request, action="manage_email")
        if refused:
            return refused
        if form.is_valid():
            return send_code(request, user, form.cleaned_data["email"])
    return render(
        request, "accounts/console/change_address.html", {"section": "profile", "current": "true", "form": form}
    )


def signed_in(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def send_code(request: HttpRequest, user: User, email: str) -> HttpResponse:
    """Send a code to the address; to one that another account has, word of that. The pages are the same.

    Without a user, allauth's process tells the owner of the address, and takes no code.
    """
    is_free = all(is_unconfirmed(holder) for holder in filter_users_by_email(email))
    try:
        EmailVerificationProcess.initiate(request=request, user=user if is_free else None, email=email)
    except ImmediateHttpResponse as too_often:
        response: HttpResponse = too_often.response
        return response
    return redirect(f"{reverse('account_email_verification_sent')}?next={reverse('console:profile')}")
