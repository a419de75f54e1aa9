"""What the catalogue says of money, by family: what earns credit, and what credit and trial pay for."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from billing.models import Product


class Family(NamedTuple):
    """Products of one family."""

    name: str
    products: Sequence[Product]


class Earning(NamedTuple):
    """A family whose products earn credit, and those of its products that do not."""

    name: str
    exceptions: Sequence[Product]


class Catalogue(NamedTuple):
    """All products, by family in the order of the model."""

    families: Sequence[Family]

    @property
    def for_trial(self) -> list[Family]:
        """What the trial pays for."""
        return self._where("accepts_trial", True)

    @property
    def not_for_trial(self) -> list[Family]:
        """What the trial does not pay for."""
        return self._where("accepts_trial", False)

    @property
    def not_for_credit(self) -> list[Family]:
        """What credit does not pay for."""
        return self._where("accepts_credit", False)

    @property
    def earning(self) -> list[Earning]:
        """The families in which a product earns credit."""
        return [
            Earning(name, [one for one in products if not one.earns_credit])
            for name, products in self.families
            if any(one.earns_credit for one in products)
        ]

    @property
    def trial_products(self) -> int:
        """How many products the trial pays for."""
        return sum(len(family.products) for family in self.for_trial)

    def _where(self, flag: str, value: bool) -> list[Family]:
        chosen = [
            Family(name, [one for one in products if getattr(one, flag) is value]) for name, products in self.families
        ]
        return [family for family in chosen if family.products]


def catalogue() -> Catalogue:
    """Return all products by family."""
    order = {name: place for place, name in enumerate(Product.Family.values)}
    products = sorted(Product.objects.order_by("pk"), key=lambda product: order[product.family])
    return Catalogue([Family(name, list(group)) for name, group in groupby(products, key=lambda one: one.family)])
