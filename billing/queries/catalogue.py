"""What the catalogue's page reads: the products that can be ordered here. Money is in US dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import NamedTuple

from djmoney.money import Money

from billing.models import Product, Unit

CENT = Decimal("0.01")
ORDER = {name: place for place, name in enumerate(Product.Family.values)}


class Good(NamedTuple):
    """A product with its price, and how many of it are chosen."""

    product: Product
    unit: str
    quantity: int


class Shelf(NamedTuple):
    """The goods of one family."""

    family: str
    goods: Sequence[Good]


@dataclass(frozen=True)
class Catalogue:
    """What is shown, by family; what is chosen and not shown; how many products that makes, and for how much."""

    shelves: Sequence[Shelf]
    families: Sequence[str]
    elsewhere: Sequence[Good]
    chosen: int
    total: Money


def catalogue(*, text: str, family: str, chosen: Mapping[str, int]) -> Catalogue:
    """Return what can be ordered of a family (all, if empty) whose name, code or family has every word of `text`.

    `chosen` are quantities by product code; unknown ones are passed over. One statement.
    """
    goods = [
        Good(product, str(Unit(product.unit).label), chosen.get(product.code, 0))
        for product in sorted(Product.objects.exclude(price=None).order_by("pk"), key=lambda one: ORDER[one.family])
    ]
    shown = [good for good in goods if family in ("", good.product.family) and _is_about(good.product, text)]
    picked = [good for good in goods if good.quantity]
    return Catalogue(
        shelves=[Shelf(name, list(group)) for name, group in groupby(shown, key=lambda good: good.product.family)],
        families=list(dict.fromkeys(good.product.family for good in goods)),
        elsewhere=[good for good in picked if good not in shown],
        chosen=len(picked),
        total=Money(sum(map(_cost, picked), Decimal(0)), "USD"),
    )


def _is_about(product: Product, text: str) -> bool:
    said = f"{product.name} {product.code} {product.family}".casefold()
    return all(word in said for word in text.casefold().split())


def _cost(good: Good) -> Decimal:
    assert good.product.price
    return Decimal(good.product.price.amount * good.quantity).quantize(CENT, rounding=ROUND_HALF_UP)
