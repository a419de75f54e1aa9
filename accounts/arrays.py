"""Many keys in one statement."""

from collections.abc import Iterable


def bigints(keys: Iterable[int]) -> str:
    """Write keys as Postgres reads a bigint[]: one literal.

    A list becomes an expression with a literal for each key, and a thousand of those cost the client and the server
    more than most of what is then done with them.
    """
    return "{" + ",".join(map(str, keys)) + "}"
