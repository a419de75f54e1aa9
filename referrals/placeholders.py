"""The terms' numbers in the operator's words: {trial_individual} becomes $300; and {price}, what the product costs."""

import re
from collections.abc import Callable
from decimal import Decimal

from django.db.models import DecimalField

from accounts.templatetags.wording import percent, short_dollars, unit_price
from billing.models import Product
from referrals.models import ProgrammeTerms

PRICE = "price"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
WORDED: dict[str, Callable[[Decimal], str]] = {
    field.name: percent if field.name == "bonus_rate" else short_dollars if isinstance(field, DecimalField) else str
    for field in ProgrammeTerms._meta.fields
    if field.name not in ("id", "starts_at")
}


def fill_in(text: str, terms: ProgrammeTerms, product: Product | None = None) -> str:
    """Put the numbers of these terms, and the product's price, in the place of their names.

    What names none stays as it is.
    """

    def worded(found: re.Match[str]) -> str:
        name = found[1]
        if name == PRICE and product and product.price:
            return unit_price(product.price)
        return WORDED[name](getattr(terms, name)) if name in WORDED else found[0]

    return PLACEHOLDER.sub(worded, text)


def unknown_in(text: str, product: Product | None = None) -> list[str]:
    """Return the placeholders of a text that name no number of the terms, nor the price of a product that has one."""
    has_price = product is not None and product.price is not None
    return [name for name in PLACEHOLDER.findall(text) if name not in WORDED and not (name == PRICE and has_price)]
