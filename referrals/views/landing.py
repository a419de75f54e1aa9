"""The pages that say what the programme is: for everybody, in the numbers in force."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.models import User
from referrals.queries.catalogue import catalogue
from referrals.queries.links import offer
from referrals.queries.programme import benefit_cards, versions


@require_safe
@never_cache
def landing(request: HttpRequest) -> HttpResponse:
    """The programme in three steps, its benefits, and answers."""
    context = {"offer": offer(at=clock.now()), "cards": benefit_cards(), "catalogue": catalogue()}
    return render(request, "referrals/landing.html", context)


@require_safe
@never_cache
def free_trial(request: HttpRequest) -> HttpResponse:
    """What the trial is worth, for whom, and what it pays for."""
    return render(request, "referrals/free_trial.html", {"offer": offer(at=clock.now()), "catalogue": catalogue()})


@require_safe
@never_cache
def terms(request: HttpRequest) -> HttpResponse:
    """The version in force and earlier ones; and which the reader's referrals keep."""
    user_id = request.user.pk if isinstance(request.user, User) else None
    context = {"versions": versions(at=clock.now(), user_id=user_id), "catalogue": catalogue()}
    return render(request, "referrals/terms.html", context)


@require_safe
@never_cache
def privacy(request: HttpRequest) -> HttpResponse:
    """What is kept, what a referrer sees, and the cookies by name."""
    ages = {
        "session_days": settings.SESSION_COOKIE_AGE // 86_400,
        "csrf_days": settings.CSRF_COOKIE_AGE // 86_400,
        "session_cookie": settings.SESSION_COOKIE_NAME,
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
    }
    return render(request, "referrals/privacy.html", {"offer": offer(at=clock.now()), **ages})
