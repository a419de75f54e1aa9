"""What a list's tabs are made of (templates/components/_tabs.html)."""

from typing import NamedTuple


class Tab(NamedTuple):
    """A link to one part of a list, how much stands there, and whether it is the part that is shown."""

    id: str
    address: str
    label: str
    number: int | None
    is_current: bool
