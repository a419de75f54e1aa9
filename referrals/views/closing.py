"""Account: Profile, closing the account."""

from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import clock
from accounts.operations import UnableToClose
from accounts.profile_views import signed_in
from accounts.reauthentication import password_asked_again
from referrals.operations import close_account
from referrals.queries.closing import closing


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@password_asked_again
def close(request: HttpRequest) -> HttpResponse:
    """Say in figures what goes with the account; close it when that is confirmed, and sign its customer out."""
    user, now = signed_in(request), clock.now()
    refusal = None
    if request.method == "POST":
        try:
            close_account(user_id=user.pk, now=now)
        except UnableToClose as refused:
            refusal = refused
        else:
            logout(request)
            return redirect("account_closed")
    context = {
        "section": "profile",
        "current": "true",
        "closing": closing(customer_id=user.pk, now=now),
        "refusal": refusal,
    }
    return render(request, "referrals/console/close_account.html", context, status=409 if refusal else 200)
