"""Billing Management: Payment methods, and the door for Stripe's webhooks."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import clock
from accounts.models import User
from billing.forms import SandboxCardForm
from billing.gateways import UnableToReachGateway, UnableToTakeCard, UnableToTrustEvent, gateway_in_use
from billing.gateways.sandbox import SANDBOX_CARDS, Sandbox
from billing.models import PaymentMethod
from billing.operations import (
    UnableToChangePaymentMethod,
    UnableToRecordDispute,
    receive_stripe_event,
    remove_card,
    save_card,
    set_default_card,
    start_card,
)
from billing.payment_queries import payment_page, removal

SECTION = {"section": "payment_methods"}
LONGEST_EVENT = 1_000_000
"""Bytes; Stripe's are a few thousand."""


@require_safe
@never_cache
@login_required
def payment_methods(request: HttpRequest) -> HttpResponse:
    """What is on file."""
    now = clock.now()
    page = payment_page(customer_id=_reader(request), now=now)
    response = render(request, "billing/console/payment_methods.html", {"page": page, "now": now, **SECTION})
    # A browser asks the policy of the page with the form, also for where the form is led on to.
    response._csp_update = {"form-action": list(gateway_in_use().form_targets())}  # type: ignore[attr-defined]
    return response


@require_POST
@login_required
def add(request: HttpRequest) -> HttpResponse:
    """Lead to where the customer enters a card."""
    back, cancelled = _address("console:card_entered"), _address("console:payment_methods")
    try:
        page = start_card(customer_id=_reader(request), back=back, cancelled=cancelled, now=clock.now())
    except (UnableToTakeCard, UnableToReachGateway) as refusal:
        messages.error(request, str(refusal))
        return redirect("console:payment_methods")
    return redirect(page)


@sensitive_post_parameters("number")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def sandbox_card(request: HttpRequest) -> HttpResponse:
    """The sandbox's own page, on which test numbers are entered; where another gateway is in use, there is none."""
    if not isinstance(gateway_in_use(), Sandbox):
        raise Http404
    now = clock.now()
    form = SandboxCardForm(request.POST or None, now=now)
    if form.is_valid():
        try:
            return _saved(request, save_card(customer_id=_reader(request), entry=form.cleaned_data["entry"], now=now))
        except UnableToTakeCard as refusal:
            form.add_error(None, str(refusal))
    context = {"form": form, "test_cards": SANDBOX_CARDS, "current": "true", **SECTION}
    return render(request, "billing/console/sandbox_card.html", context)


@require_safe
@never_cache
@login_required
def card_entered(request: HttpRequest) -> HttpResponse:
    """Where the gateway leads back to: it is asked what was entered, whatever the address says."""
    try:
        method = save_card(customer_id=_reader(request), entry=request.GET.get("entry", ""), now=clock.now())
    except (UnableToTakeCard, UnableToReachGateway) as refusal:
        messages.error(request, str(refusal))
        return redirect("console:payment_methods")
    return _saved(request, method)


@require_POST
@login_required
def make_default(request: HttpRequest, method_id: int) -> HttpResponse:
    """Make a method the default."""
    try:
        set_default_card(customer_id=_reader(request), method_id=method_id, now=clock.now())
    except UnableToChangePaymentMethod as refusal:
        raise Http404 from refusal
    messages.success(request, _("The default payment method has changed."))
    return redirect("console:payment_methods")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def remove(request: HttpRequest, method_id: int) -> HttpResponse:
    """Say what removing a method comes to, then remove it."""
    now = clock.now()
    if request.method == "POST":
        return _removed(request, method_id)
    try:
        found = removal(customer_id=_reader(request), method_id=method_id, now=now)
    except PaymentMethod.DoesNotExist as fault:
        raise Http404 from fault
    return render(request, "billing/console/remove_card.html", {"removal": found, "current": "true", **SECTION})


@csrf_exempt
@require_POST
@login_not_required
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Take what Stripe tells. Its signature is what proves who asks; an answer other than 200 brings it again later."""
    if not settings.STRIPE_WEBHOOK_SECRET:
        raise Http404
    if len(request.body) > LONGEST_EVENT:
        return HttpResponse(status=413)
    signature = request.headers.get("Stripe-Signature", "")
    try:
        receive_stripe_event(payload=request.body, signature=signature, now=clock.now())
    except UnableToTrustEvent:
        return HttpResponse(status=400)
    except (UnableToReachGateway, UnableToRecordDispute):
        return HttpResponse(status=503)
    return HttpResponse()


def _reader(request: HttpRequest) -> int:
    assert isinstance(request.user, User)  # login_required
    return request.user.pk


def _address(name: str) -> str:
    return f"{settings.SITE_URL}{reverse(name)}"


def _saved(request: HttpRequest, method: PaymentMethod) -> HttpResponse:
    card = {"brand": method.brand.capitalize(), "last_four": method.last_four}
    messages.success(request, _("%(brand)s ending in %(last_four)s is on file.") % card)
    return redirect("console:payment_methods")


def _removed(request: HttpRequest, method_id: int) -> HttpResponse:
    try:
        remove_card(customer_id=_reader(request), method_id=method_id, now=clock.now())
    except UnableToChangePaymentMethod as refusal:
        raise Http404 from refusal
    except UnableToReachGateway as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The payment method was removed."))
    return redirect("console:payment_methods")
