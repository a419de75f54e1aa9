"""The shop: the catalogue, the checkout with its preview, and the button that pays."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from billing.basket import Basket, is_form, read_basket
from billing.queries.catalogue import catalogue as read_catalogue

LONGEST_SEARCH = 100
MOST = 1_000_000


@require_safe
@never_cache
@login_required
def catalogue(request: HttpRequest) -> HttpResponse:
    """What can be ordered; the address holds what is sought and what is chosen."""
    basket = read_basket(request.GET)
    text, family = request.GET.get("q", "").strip()[:LONGEST_SEARCH], request.GET.get("family", "")
    if is_form(request.GET):
        sought = {name: value for name, value in (("q", text), ("family", family)) if value}
        return redirect(_with(reverse("console:catalogue"), basket, sought))
    page = read_catalogue(text=text, family=family, chosen=basket.quantities)
    context = {"page": page, "basket": basket, "most": MOST, "text": text, "family": family, "section": "catalogue"}
    return render(request, "billing/console/catalogue.html", context)


def _with(address: str, basket: Basket, more: dict[str, str]) -> str:
    query = "&".join(part for part in (urlencode(more), basket.query) if part)
    return f"{address}?{query}" if query else address
