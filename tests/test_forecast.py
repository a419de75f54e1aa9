"""What will likely expire: at the pace of the last 90 days, soonest-expiring first."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credits.forecast import Left, expiring
from tests.facts import NOW


def left(coupon_id: int, remaining: str, *, days: float) -> Left:
    return Left(coupon_id, Decimal(remaining), NOW + timedelta(days=days))


def lost(*coupons: Left, used: str) -> dict[int, Decimal]:
    return expiring(left=coupons, used=Decimal(used), now=NOW)


def test_without_any_use_everything_expires() -> None:
    assert lost(left(1, "20", days=30), left(2, "0.01", days=365), used="0") == {1: Decimal(20), 2: Decimal("0.01")}


def test_at_a_dollar_a_day_thirty_days_use_thirty_dollars() -> None:
    assert lost(left(1, "30", days=30), used="90") == {}
    assert lost(left(1, "30.01", days=30), used="90") == {1: Decimal("0.01")}


def test_the_coupon_that_ends_first_is_used_first() -> None:
    """$1 a day: 10 days use the first one up, and 10 more days half of the second."""
    assert lost(left(1, "10", days=15), left(2, "20", days=20), used="90") == {2: Decimal(10)}


def test_what_expires_costs_the_next_coupon_no_time() -> None:
    """$1 a day: of the first coupon 5 are used in 5 days, and the other 95 expire; the second has all days after."""
    assert lost(left(1, "100", days=5), left(2, "10", days=15), used="90") == {1: Decimal(95)}
    assert lost(left(1, "100", days=5), left(2, "11", days=15), used="90") == {1: Decimal(95), 2: Decimal(1)}


def test_half_a_cent_is_a_cent() -> None:
    """In a tenth of a day, 0.0050 of 0.01 is used."""
    assert lost(left(1, "0.01", days=0.1), used="4.50") == {1: Decimal("0.01")}
    assert lost(left(1, "0.01", days=0.1), used="4.51") == {}


def test_a_coupon_that_ends_now_is_lost() -> None:
    assert lost(left(1, "5", days=0), used="1000") == {1: Decimal(5)}


amounts = st.decimals(min_value="0.01", max_value="5000", places=2)
purses = st.lists(st.tuples(amounts, st.integers(0, 400)), max_size=6).map(
    lambda found: [
        left(n, str(amount), days=days) for n, (amount, days) in enumerate(sorted(found, key=lambda one: one[1]))
    ]
)


@given(purses, amounts, amounts)
def test_who_uses_more_loses_no_more(coupons: list[Left], used: Decimal, more: Decimal) -> None:
    slow, fast = (expiring(left=coupons, used=pace, now=NOW) for pace in (used, used + more))
    assert sum(fast.values()) <= sum(slow.values()) + Decimal("0.01") * len(coupons)


@given(purses, amounts)
def test_never_more_is_lost_than_is_left(coupons: list[Left], used: Decimal) -> None:
    found = expiring(left=coupons, used=used, now=NOW)
    assert all(0 < found.get(one.coupon_id, one.remaining) <= one.remaining for one in coupons)


@given(purses)
def test_at_a_great_pace_nothing_is_lost_that_has_a_day(coupons: list[Left]) -> None:
    lasting = [one for one in coupons if one.expires_at > NOW]
    assert expiring(left=lasting, used=Decimal(10**9), now=NOW) == {}


@pytest.mark.parametrize("used", ["0", "90"])
def test_nobody_loses_what_they_do_not_have(used: str) -> None:
    assert lost(used=used) == {}
