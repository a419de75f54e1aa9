"""How pages word money and time."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

from babel import Locale
from babel.numbers import format_currency, format_percent
from django import template
from django.conf import settings
from django.forms import BoundField
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext, ngettext, pgettext
from djmoney.money import Money

register = template.Library()

MINUS = "\N{MINUS SIGN}"
NOUNS_ARE_CAPITALS = {"de"}


@register.simple_tag
def operator_name() -> str:
    """Who runs the programme."""
    return str(settings.OPERATOR_NAME)


@register.filter
def control(field: BoundField) -> SafeString:
    """A field's control, without the placeholder that would only say its name once more."""
    return field.as_widget(attrs={"placeholder": False})


@register.filter
def sentence_case(label: str) -> str:
    """A label of a library as we write ours: only the first letter is a capital, where nouns have none."""
    return capfirst(label) if _locale().language in NOUNS_ARE_CAPITALS else capfirst(str(label).lower())


@register.filter
def dollars(value: Money | Decimal | None) -> str:
    """An amount in US dollars to the cent, as the reader's language writes it: $1,234.50, or with a minus sign."""
    return "" if value is None else _currency(value)


@register.filter
def short_dollars(value: Money | Decimal) -> str:
    """An amount in US dollars for a sentence: $20, $20.50."""
    amount = _amount(value)
    return _currency(amount, whole=amount == amount.to_integral_value())


@register.filter
def unit_price(value: Money | Decimal) -> str:
    """A price in US dollars for one unit, which may be less than a cent: $8.50, $0.019."""
    amount = _amount(value)
    digits = max(2, -int(amount.normalize().as_tuple().exponent))
    form = re.sub(r"\.0+", f".{'0' * digits}", str(_locale().currency_formats["standard"].pattern))
    return str(format_currency(amount, "USD", form, locale=_locale(), currency_digits=False))


@register.filter
def in_currency(amount: Decimal, currency: str) -> str:
    """An amount in a currency of its own: €1,234.50."""
    return str(format_currency(amount, currency, locale=_locale()))


@register.filter
def signed_dollars(value: Money) -> str:
    """A movement in US dollars, with its sign."""
    return dollars(value) if value.amount < 0 else f"+{dollars(value)}"


@register.filter
def percent(rate: Decimal) -> str:
    """A rate as a percentage without needless zeros, as the reader's language writes it: 10%, 12.5%."""
    form = str(_locale().percent_formats[None].pattern).replace("0", "0.###")
    return str(format_percent(rate, form, locale=_locale()))


@register.filter
def day(at: datetime) -> SafeString:
    """The date of an instant in the reader's zone."""
    return _time(at, pgettext("date", "j M Y"))


@register.filter
def moment(at: datetime) -> SafeString:
    """The date and time of an instant in the reader's zone."""
    return _time(at, pgettext("date and time", "j M Y, H:i"))


@register.filter
def zoned_moment(at: datetime) -> SafeString:
    """The date and time of an instant in the reader's zone, and the zone: 5 Mar 2026, 14:00 CET."""
    return _time(at, pgettext("date, time and zone", "j M Y, H:i T"))


@register.filter
def month(at: datetime) -> str:
    """The month of an instant in the reader's zone: March 2026."""
    return date_format(timezone.localtime(at), pgettext("month", "F Y"))


@register.simple_tag
def when(at: datetime, now: datetime) -> SafeString:
    """An instant ahead, as people say it and to the minute: in 12 days · 5 Mar 2026, 14:00 CET."""
    return format_html("{} · {}", wait(at, now), zoned_moment(at)) if at > now else zoned_moment(at)


@register.simple_tag
def wait(until: datetime, now: datetime) -> str:
    """How long it is from `now` until then, in words, rounded up: in 3 days, in 5 hours, any moment now."""
    left = until - now
    if left <= timedelta():
        return gettext("any moment now")
    if left <= timedelta(hours=1):
        return gettext("within the hour")
    if left <= timedelta(days=1):
        hours = -(-left // timedelta(hours=1))
        return ngettext("in %(count)d hour", "in %(count)d hours", hours) % {"count": hours}
    days = -(-left // timedelta(days=1))
    return ngettext("in %(count)d day", "in %(count)d days", days) % {"count": days}


def _amount(value: Money | Decimal) -> Decimal:
    return value.amount if isinstance(value, Money) else Decimal(value)


def _currency(value: Money | Decimal, *, whole: bool = False) -> str:
    amount = _amount(value)
    form = _without_cents() if whole else None
    words = format_currency(abs(amount), "USD", form, locale=_locale(), currency_digits=not whole)
    return f"{MINUS if amount < 0 else ''}{words}"


def _without_cents() -> str:
    """The pattern of an amount in the reader's language, without its cents."""
    return re.sub(r"\.0+", "", str(_locale().currency_formats["standard"].pattern))


def _locale() -> Locale:
    return Locale.parse(translation.to_locale(get_language() or settings.LANGUAGE_CODE))


def _time(at: datetime, form: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), date_format(timezone.localtime(at), form))
