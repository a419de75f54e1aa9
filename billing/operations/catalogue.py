"""What staff change in the catalogue: prices. An order keeps the price that it was placed at."""

from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from accounts.retries import retried
from billing.models import Product, Unit

LIMIT = Decimal(10) ** 8
"""US dollars: what the column holds."""


class UnableToSetPrice(Exception):
    """The price stays as it is; `code` is `price` (of which form it may be), `unit`, `regular` or `gone`."""

    reasons = {
        "price": _("A price is above zero, below 100,000,000 dollars, and has at most four decimals."),
        "unit": _("A price is for a unit that is listed."),
        "regular": _("The regular price of a special offer is above its price, and of the same form."),
        "gone": _("There is no such product."),
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


@retried
def set_price(*, product_id: int, price: Decimal, unit: str, regular_price: Decimal | None) -> None:
    """Set what a unit of a product costs in US dollars, and what it costs otherwise where it is a special offer.

    One statement, and no lock: whoever orders at the same moment is shown the preview again (`check_out`: changed).
    Raises UnableToSetPrice.
    """
    if not _is_price(price):
        raise UnableToSetPrice("price")
    if unit not in Unit.values:
        raise UnableToSetPrice("unit")
    if regular_price is not None and not (_is_price(regular_price) and regular_price > price):
        raise UnableToSetPrice("regular")
    changed = Product.objects.filter(pk=product_id).update(
        price=price, currency="USD", unit=unit, regular_price=regular_price
    )
    if not changed:
        raise UnableToSetPrice("gone")


def _is_price(price: Decimal) -> bool:
    return price.is_finite() and 0 < price < LIMIT and price == round(price, 4)
