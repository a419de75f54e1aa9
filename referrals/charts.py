"""The geometry of the charts that the server draws as SVG: whole numbers, so that no language changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

HEIGHT = 56
STEP = 20
BAR = 14
LEAST = 2


@dataclass(frozen=True)
class Bar:
    """One column: its place from the left and from above, and its size."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Chart:
    """Columns side by side, the highest as high as the chart; `most` is the value that it stands for."""

    bars: list[Bar]
    most: int | Decimal
    width: int
    height: int


def chart(values: Sequence[int | Decimal]) -> Chart:
    """Draw the values; one below zero has no column, and any above zero can be seen. Pure."""
    most = max([*values, 0])
    bars = [_bar(number, value, most) for number, value in enumerate(values)]
    return Chart(bars, most, len(values) * STEP, HEIGHT)


def _bar(number: int, value: int | Decimal, most: int | Decimal) -> Bar:
    height = max(LEAST, round(HEIGHT * value / most)) if value > 0 else 0
    return Bar(number * STEP + (STEP - BAR) // 2, HEIGHT - height, BAR, height)
