"""How pages word money and time."""

from datetime import datetime, timedelta
from decimal import Decimal

from django import template
from django.conf import settings
from django.forms import BoundField
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from djmoney.money import Money

register = template.Library()

MINUS = "\N{MINUS SIGN}"


@register.simple_tag
def operator_name() -> str:
    """Who runs the programme."""
    return str(settings.OPERATOR_NAME)


@register.filter
def control(field: BoundField) -> SafeString:
    """A field's control, without the placeholder that would only say its name once more."""
    return field.as_widget(attrs={"placeholder": False})


@register.filter
def dollars(value: Money | Decimal | None) -> str:
    """An amount in US dollars to the cent: $1,234.50, or with a minus sign."""
    if value is None:
        return ""
    amount = value.amount if isinstance(value, Money) else Decimal(value)
    return f"{MINUS if amount < 0 else ''}${abs(amount):,.2f}"


@register.filter
def short_dollars(value: Money | Decimal) -> str:
    """An amount in US dollars for a sentence: $20, $20.50."""
    return dollars(value).removesuffix(".00")


@register.filter
def signed_dollars(value: Money) -> str:
    """A movement in US dollars, with its sign."""
    return dollars(value) if value.amount < 0 else f"+{dollars(value)}"


@register.filter
def percent(rate: Decimal) -> str:
    """A rate as a percentage without needless zeros: 10%, 12.5%."""
    return f"{(rate * 100).normalize():f}%"


@register.filter
def day(at: datetime) -> SafeString:
    """The date of an instant in the reader's zone."""
    return _time(at, "j M Y")


@register.filter
def moment(at: datetime) -> SafeString:
    """The date and time of an instant in the reader's zone."""
    return _time(at, "j M Y, H:i")


@register.filter
def month(at: datetime) -> str:
    """The month of an instant in the reader's zone: March 2026."""
    return date_format(timezone.localtime(at), "F Y")


@register.simple_tag
def wait(until: datetime, now: datetime) -> str:
    """How long it is from `now` until then, in words, rounded up: in 3 days, in 5 hours, any moment now."""
    left = until - now
    if left <= timedelta():
        return "any moment now"
    if left <= timedelta(hours=1):
        return "within the hour"
    if left <= timedelta(days=1):
        return _in(-(-left // timedelta(hours=1)), "hour")
    return _in(-(-left // timedelta(days=1)), "day")


def _in(count: int, unit: str) -> str:
    return f"in {count} {unit}{'' if count == 1 else 's'}"


def _time(at: datetime, form: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), date_format(timezone.localtime(at), form))
