"""What an invariant is: a name, the sentence that it proves, and one statement that returns the rows that break it."""

from typing import NamedTuple


class Invariant(NamedTuple):
    """A statement over all rows, which returns those for which `sentence` does not hold; it may name `%(now)s`."""

    name: str
    sentence: str
    sql: str
