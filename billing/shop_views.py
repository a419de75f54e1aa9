"""The shop: the catalogue, the checkout with its preview, and the button that pays."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import clock
from accounts.asked import reader_id
from billing.basket import Basket, is_form, read_basket, read_id
from billing.operations import UnableToOrder, check_out
from billing.queries.catalogue import catalogue as read_catalogue
from billing.queries.checkout import MOST_OF_A_PRODUCT, Wanted
from billing.queries.preview import preview

LONGEST_SEARCH = 100
SECTION = {"section": "catalogue"}


@require_safe
@never_cache
@login_required
def catalogue(request: HttpRequest) -> HttpResponse:
    """What can be ordered; the address holds what is sought and what is chosen."""
    basket = read_basket(request.GET)
    text, family = request.GET.get("q", "").strip()[:LONGEST_SEARCH], request.GET.get("family", "")
    if is_form(request.GET):
        sought = {name: value for name, value in (("q", text), ("family", family)) if value}
        return redirect(_address("console:catalogue", basket, sought))
    page = read_catalogue(text=text, family=family, chosen=basket.quantities)
    context = {"page": page, "basket": basket, "most": MOST_OF_A_PRODUCT, "text": text, "family": family, **SECTION}
    return render(request, "billing/console/catalogue.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def checkout(request: HttpRequest) -> HttpResponse:
    """What the trial, which coupons and what money would pay. The address holds all of it, and the order's key.

    What a form says becomes an address; it is a key's last sight, for another basket is another order.
    """
    if request.method == "POST" or is_form(request.GET):
        basket = read_basket(request.POST or request.GET)
        return redirect(_address("console:checkout", basket.with_a_key()))
    basket = read_basket(request.GET)
    if basket.items and not basket.key:
        return redirect(_address("console:checkout", basket.with_a_key()))
    now = clock.now()
    page = preview(customer_id=reader_id(request), basket=basket, now=now)
    context = {"page": page, "most": MOST_OF_A_PRODUCT, "now": now, "current": "true", **SECTION}
    return render(request, "billing/console/checkout.html", context)


@require_POST
@login_required
def pay(request: HttpRequest) -> HttpResponse:
    """Order and pay what was shown, once for each key; where it is not so any more, show it anew."""
    basket = read_basket(request.POST)
    try:
        order = check_out(
            customer_id=reader_id(request),
            key=basket.key,
            wanted=[Wanted(code, quantity) for code, quantity in basket.items],
            without=basket.without,
            seen=request.POST.get("seen", ""),
            card=read_id(request.POST.get("card", "")),
            now=clock.now(),
        )
    except UnableToOrder as refusal:
        messages.error(request, str(refusal))
        return redirect(_address("console:checkout", basket))
    return redirect("console:order", order.number)


def _address(name: str, basket: Basket, more: dict[str, str] | None = None) -> str:
    query = "&".join(part for part in (urlencode(more or {}), basket.query) if part)
    return f"{reverse(name)}?{query}" if query else reverse(name)
