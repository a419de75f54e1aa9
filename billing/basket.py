"""What a customer has chosen, as an address holds it: products with quantities, coupons left out, and its key. Pure.

An address with a basket is `?item=ecs:2&item=domain:1&without=7&key=...`. A form sends `quantity.ecs=2` for each
product that it shows, and `offered=7` for each coupon, with `use=7` beside it where it is to pay; `read_basket`
understands both. The `key` is that of the order which the basket may become: an address orders once, however often it
is opened.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

QUANTITY = "quantity."
KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")
# Up to one that is too large, so that it is refused and does not silently go.
NUMBER = re.compile(r"[0-9]{1,10}")
ID = re.compile(r"[0-9]{1,18}")
MOST_READ = 200
"""Lines that are read off an address; how many an order may have, `check_out` says."""


class Query(Protocol):
    """What Django makes of an address."""

    def getlist(self, key: str) -> list[str]: ...

    def __iter__(self) -> Iterator[str]: ...


class Chosen(NamedTuple):
    """A product's code, and how many of its unit."""

    code: str
    quantity: int


@dataclass(frozen=True)
class Basket:
    """What is chosen, in the order in which it was, without what is left out of paying it."""

    items: tuple[Chosen, ...] = ()
    without: frozenset[int] = frozenset()
    key: str = ""

    @property
    def query(self) -> str:
        """The address's part behind the question mark."""
        pairs = [("item", f"{code}:{quantity}") for code, quantity in self.items]
        pairs += [("without", str(coupon)) for coupon in sorted(self.without)]
        return urlencode([*pairs, *([("key", self.key)] if self.key else [])])

    @property
    def quantities(self) -> Mapping[str, int]:
        """How many are chosen of each product."""
        return dict(self.items)

    @property
    def without_key(self) -> Basket:
        """The same, to be chosen on, or to be ordered once more."""
        return replace(self, key="")

    def with_a_key(self) -> Basket:
        """The same, as an order that was not placed yet."""
        return replace(self, key=secrets.token_urlsafe(16))

    def but_for(self, codes: Iterable[str]) -> Basket:
        """The same without these products."""
        gone = set(codes)
        return replace(self, items=tuple(item for item in self.items if item.code not in gone))


def read_basket(query: Query) -> Basket:
    """Read what an address or a form says; whatever makes no sense in it is passed over."""
    quantities: dict[str, int] = {}
    for text in query.getlist("item")[:MOST_READ]:
        code, _, quantity = text.rpartition(":")
        if code and NUMBER.fullmatch(quantity):
            quantities[code] = int(quantity)
    for name in filter(_is_quantity, query):
        quantity = "".join(query.getlist(name)[-1:]).strip() or "0"
        if NUMBER.fullmatch(quantity):
            quantities[name.removeprefix(QUANTITY)] = int(quantity)
    key = next(iter(query.getlist("key")), "")
    return Basket(
        items=tuple(Chosen(code, quantity) for code, quantity in quantities.items() if quantity)[:MOST_READ],
        without=_left_out(query),
        key=key if KEY.fullmatch(key) else "",
    )


def read_id(text: str) -> int | None:
    """Read the number that names something; None where it is none."""
    return int(text) if ID.fullmatch(text) else None


def is_form(query: Query) -> bool:
    """Whether this is what a form sends, which is written anew before it becomes an address."""
    return bool(query.getlist("offered")) or any(map(_is_quantity, query))


def _is_quantity(name: str) -> bool:
    return name.startswith(QUANTITY)


def _left_out(query: Query) -> frozenset[int]:
    named, offered, used = (set(_ids(query.getlist(name))) for name in ("without", "offered", "use"))
    return frozenset((named | offered) - used)


def _ids(texts: Iterable[str]) -> Iterable[int]:
    return (int(text) for text in list(texts)[:MOST_READ] if ID.fullmatch(text))
