"""What comes back of a line in parts: the proportion in which it was paid, exact to the cent."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from billing.proportions import CENT, Parts, divide, most_returnable, returned, returned_next

AMOUNTS = some.integers(0, 10**7).map(lambda cents: cents * CENT)
SMALL = some.integers(0, 12).map(lambda cents: cents * CENT)
PAID = some.builds(Parts, AMOUNTS, AMOUNTS, AMOUNTS) | some.builds(Parts, SMALL, SMALL, SMALL)


def parts(cash: str, credit: str, trial: str = "0") -> Parts:
    return Parts(Decimal(cash), Decimal(credit), Decimal(trial))


@some.composite
def paid_and_amounts(draw: some.DrawFn, *, number: int = 1) -> tuple[Parts, list[Decimal]]:
    """A line, and amounts within it in ascending order."""
    paid = draw(PAID)
    within = some.integers(0, int(paid.total / CENT))
    return paid, sorted(cents * CENT for cents in draw(some.lists(within, min_size=number, max_size=number)))


def test_worked_example_of_the_architecture_page() -> None:
    """$10.00, paid by $3.33 of cash, $3.33 of credit and $3.34 of trial."""
    paid = parts("3.33", "3.33", "3.34")
    assert returned(paid=paid, amount=Decimal("0.01")) == parts("0", "0", "0.01")
    assert returned(paid=paid, amount=Decimal("0.02")) == parts("0.01", "0", "0.01")
    assert returned(paid=paid, amount=Decimal("5.00")) == parts("1.67", "1.66", "1.67")
    assert returned_next(paid=paid, before=Decimal("5"), amount=Decimal("5")) == parts("1.66", "1.67", "1.67")


def test_line_paid_one_way_comes_back_that_way() -> None:
    assert returned(paid=parts("0", "7.77"), amount=Decimal("1.23")) == parts("0", "1.23")


def test_equal_parts_take_turns_and_cash_is_first() -> None:
    paid = parts("1", "1", "1")
    cents = [returned_next(paid=paid, before=before * CENT, amount=CENT) for before in range(3)]
    assert cents == [parts("0.01", "0"), parts("0", "0.01"), parts("0", "0", "0.01")]


@given(paid_and_amounts())
def test_what_comes_back_is_the_amount_and_no_part_exceeds_what_was_paid(drawn: tuple[Parts, list[Decimal]]) -> None:
    paid, (amount,) = drawn
    back = returned(paid=paid, amount=amount)
    assert back.total == amount
    assert all(0 <= part <= whole for part, whole in zip(back, paid, strict=True))


@given(paid_and_amounts())
def test_each_part_is_within_a_cent_of_its_proportion(drawn: tuple[Parts, list[Decimal]]) -> None:
    paid, (amount,) = drawn
    for part, whole in zip(returned(paid=paid, amount=amount), paid, strict=True):
        exact = Fraction(whole) * Fraction(amount) / Fraction(paid.total or 1)
        assert abs(Fraction(part) - exact) < Fraction(CENT)


@given(paid_and_amounts(number=2))
def test_more_of_the_line_never_gives_a_part_less(drawn: tuple[Parts, list[Decimal]]) -> None:
    paid, (less, more) = drawn
    assert all(part >= 0 for part in returned_next(paid=paid, before=less, amount=more - less))


@given(paid_and_amounts(number=4))
def test_many_refunds_come_to_the_same_as_one(drawn: tuple[Parts, list[Decimal]]) -> None:
    paid, amounts = drawn
    steps = zip([Decimal(0), *amounts], amounts, strict=False)
    back = [returned_next(paid=paid, before=before, amount=after - before) for before, after in steps]
    assert Parts(*(sum(column, Decimal(0)) for column in zip(*back, strict=True))) == returned(
        paid=paid, amount=amounts[-1]
    )


@given(PAID)
def test_the_whole_line_comes_back_as_it_was_paid(paid: Parts) -> None:
    assert returned(paid=paid, amount=paid.total) == paid


@given(some.lists(AMOUNTS | SMALL, min_size=1, max_size=20), some.data())
def test_no_share_of_many_gets_more_than_it_is(shares: list[Decimal], data: some.DataObject) -> None:
    amount = data.draw(some.integers(0, int(sum(shares) / CENT))) * CENT
    got = divide(amount, over=shares)
    assert sum(got) == amount
    assert all(0 <= one <= share for one, share in zip(got, shares, strict=True))


@given(paid_and_amounts(number=2), some.integers(0, 10**7))
def test_most_that_comes_back_is_bounded_by_the_cash_left(drawn: tuple[Parts, list[Decimal]], cents: int) -> None:
    paid, (before, _) = drawn
    cash_left = min(cents * CENT, paid.cash - returned(paid=paid, amount=before).cash)
    most = most_returnable(paid=paid, before=before, cash_left=cash_left)
    assert returned_next(paid=paid, before=before, amount=most).cash <= cash_left
    if before + most < paid.total:
        assert returned_next(paid=paid, before=before, amount=most + CENT).cash > cash_left


@pytest.mark.parametrize("amount", ["-0.01", "3.01", "0.005"])
def test_amount_outside_the_shares_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match=r"divided|whole cents"):
        divide(Decimal(amount), over=[Decimal(1), Decimal(2)])
