"""One order: how it is paid, and its invoice."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from accounts.asked import reader_id
from billing.basket import Basket, Chosen
from billing.models import Order
from billing.queries.order_page import OrderPage, order_page

SECTION = {"section": "orders", "current": "true"}


class HtmxRequest(HttpRequest):
    """A request that knows whether htmx asks."""

    htmx: HtmxDetails


@require_safe
@never_cache
@login_required
def order(request: HtmxRequest, number: str) -> HttpResponse:
    """How an order is paid. To htmx, which asks again and again, nothing as long as that is not known."""
    page = _page(request, number)
    if request.htmx and page.order.state == Order.State.PLACED:
        response = HttpResponse(status=204)
    else:
        response = render(request, "billing/console/order.html", {"page": page, "again": _again(page), **SECTION})
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
@never_cache
@login_required
def invoice(request: HttpRequest, number: str) -> HttpResponse:
    """The invoice of a paid order, to be printed."""
    page = _page(request, number)
    if page.order.state != Order.State.PAID:
        raise Http404
    return render(request, "billing/console/invoice.html", {"page": page, **SECTION})


def _page(request: HttpRequest, number: str) -> OrderPage:
    try:
        return order_page(customer_id=reader_id(request), number=number)
    except Order.DoesNotExist as fault:
        raise Http404 from fault


def _again(page: OrderPage) -> Basket:
    """The same once more, as an order of its own."""
    return Basket(tuple(Chosen(one.line.product.code, one.line.quantity) for one in page.lines))
