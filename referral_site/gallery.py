"""The design system on one page, and the error pages, for who works on them: in debug and in the demo only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.messages import constants
from django.contrib.messages.storage.base import Message
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import path
from django.views.decorators.http import require_safe
from djmoney.money import Money

from accounts import clock
from accounts.charts import Chart, Point, bar_chart
from accounts.models import User
from accounts.tabs import Tab
from billing.models import Order, Product
from referrals.queries.stages import Stage

View = Callable[..., HttpResponseBase]

ERRORS = ("400", "403", "403_csrf", "404", "429", "500")
THEMES = ("light", "dark")


class Specimen(forms.Form):
    """A field of every kind."""

    name = forms.CharField(help_text="A hint stands below the field.")
    country = forms.ChoiceField(choices=[("", "Choose"), ("PT", "Portugal"), ("DE", "Germany")])
    words = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), required=False)
    agreed = forms.BooleanField(label="A tick before its words")


def for_developers(view: View) -> View:
    """Answer 404 unless in debug or in the demo."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not (settings.DEBUG or settings.DEMO):
            raise Http404
        return view(request, *args, **kwargs)

    return answer


@for_developers
@require_safe
def components(request: HttpRequest) -> HttpResponse:
    """Every component with its variants, in the light theme and in the dark one."""
    now = clock.now()
    context = {
        "themes": [{"name": name, **specimens(name)} for name in THEMES],
        "errors": ERRORS,
        "now": now,
        "later": now + timedelta(days=12),
    }
    return render(request, "dev/components.html", context)


@for_developers
@require_safe
def error(request: HttpRequest, code: str) -> HttpResponse:
    """One error page as it looks, but not as an error."""
    if code not in ERRORS:
        raise Http404
    # The page of a fault of ours comes without anything that could fail once more.
    return HttpResponse(render_to_string(f"{code}.html", request=None if code == "500" else request))


def specimens(prefix: str) -> dict[str, object]:
    """What the components of one theme show: invented, but for their kinds."""
    wrong = Specimen({"words": "Some words."}, prefix=f"{prefix}-wrong")
    now = clock.now()
    joined = now.replace(month=3)
    return {
        "form": Specimen(prefix=prefix),
        "wrong": wrong,
        "stages": list(Stage),
        "some": Money("1234.5", "USD"),
        "nothing": Money(0, "USD"),
        "small": Decimal("0.019"),
        "threshold": Decimal(20),
        "product": Product(earns_credit=True, accepts_credit=True, accepts_trial=True),
        "offer": Product(regular_price=Decimal(5)),
        "orders": [Order(state=state) for state in Order.State],
        "friends": [
            User(registered_at=joined),
            User(registered_at=joined, public_first_name="Bea"),
            User(registered_at=joined, closed_at=now),
        ],
        "messages": [
            Message(constants.SUCCESS, "The card is your default now."),
            Message(constants.ERROR, "The card was declined."),
        ],
        "tabs": [
            Tab(f"{prefix}-usable", "#tabs", "Usable", 4, True),
            Tab(f"{prefix}-expired", "#tabs", "Expired", 1234, False),
            Tab(f"{prefix}-all", "#tabs", "All", None, False),
        ],
        "chart": chart(),
    }


def chart() -> Chart:
    months = ("January", "February", "March", "April", "May", "June")
    return bar_chart(
        title="Sign-ups by month",
        name_heading="Month",
        value_heading="Sign-ups",
        points=[Point(f"{month} 2026", n, str(n)) for month, n in zip(months, (3, 0, 8, 1, 5, 12), strict=True)],
    )


urlpatterns = [
    path("components/", components, name="components"),
    path("errors/<slug:code>/", error, name="error"),
]
