"""How pages name countries."""

from babel import Locale
from django import template
from django.utils import translation
from django.utils.translation import get_language

register = template.Library()


@register.filter
def country_name(code: str) -> str:
    """The name of a country in the reader's language; a code that stands for none, as it is."""
    names = Locale.parse(translation.to_locale(get_language() or "en")).territories
    return str(names.get(code, code))
