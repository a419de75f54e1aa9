"""Account: Profile."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """What the customer tells of themselves, and which mails they want."""
    return render(request, "accounts/console/profile.html", {"section": "profile"})
