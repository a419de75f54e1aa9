"""Billing Management: Orders."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.asked import asked_place, reader_id
from accounts.csv_files import csv_file
from billing.queries.orders import PAYMENT_COLUMNS, orders_page, payment_rows


@require_safe
@never_cache
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """What the customer has ordered here, and what they have paid, with what of it counts as qualifying spend."""
    page = orders_page(
        customer_id=reader_id(request),
        orders_after=asked_place(request, name="orders"),
        payments_after=asked_place(request),
        now=clock.now(),
    )
    return render(request, "billing/console/orders.html", {"page": page, "section": "orders"})


@require_safe
@never_cache
@login_required
def orders_file(request: HttpRequest) -> StreamingHttpResponse:
    """All that the customer has paid as a CSV file."""
    rows = payment_rows(customer_id=reader_id(request), now=clock.now())
    return csv_file("payments.csv", columns=PAYMENT_COLUMNS, rows=rows)
