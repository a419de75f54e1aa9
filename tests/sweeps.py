"""Ways for a sweep to go: with its plain grants, or with all customers reckoned."""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from referrals.operations import settlement
from referrals.operations.plain_grants import PlainGrants


def nothing_is_plain() -> AbstractContextManager[Any]:
    """Let every customer be reckoned."""
    return patch.object(settlement, "grant_plain", lambda **_: PlainGrants([], 0, Decimal("0.00")))
