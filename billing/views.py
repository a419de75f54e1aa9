"""Billing Management: Orders."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.asked import asked_place, reader_id
from accounts.csv_files import csv_file
from billing.queries.orders import PAYMENT_COLUMNS, payment_rows, payments


@require_safe
@never_cache
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """What the customer has paid, and what of it counts as qualifying spend."""
    page = payments(customer_id=reader_id(request), after=asked_place(request), now=clock.now())
    return render(request, "billing/console/orders.html", {"payments": page, "section": "orders"})


@require_safe
@never_cache
@login_required
def orders_file(request: HttpRequest) -> StreamingHttpResponse:
    """All that the customer has paid as a CSV file."""
    rows = payment_rows(customer_id=reader_id(request), now=clock.now())
    return csv_file("payments.csv", columns=PAYMENT_COLUMNS, rows=rows)
