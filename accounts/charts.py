"""Charts as the pages draw them: whole numbers for a drawing, and the words of the table behind it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

HEIGHT = 100
STEP = 10
BAR_WIDTH = 8


class Point(NamedTuple):
    """One column: its name, its value, and the value in words."""

    name: str
    value: int | Decimal
    words: str


class Bar(NamedTuple):
    """One column as it is drawn."""

    point: Point
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Chart:
    """Columns side by side, what they show, and what the columns of the table are called."""

    title: str
    name_heading: str
    value_heading: str
    bars: list[Bar]

    @property
    def width(self) -> int:
        return STEP * len(self.bars)

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def highest(self) -> Bar | None:
        return max(self.bars, key=lambda bar: bar.point.value, default=None)


def bar_chart(*, title: str, name_heading: str, value_heading: str, points: Sequence[Point]) -> Chart:
    """Draw the points in their order, the highest as high as the chart; what is above nothing is never invisible."""
    most = max((point.value for point in points), default=0)
    bars: list[Bar] = []
    for place, point in enumerate(points):
        height = max(1, round(HEIGHT * point.value / most)) if point.value > 0 else 0
        bars.append(Bar(point, STEP * place + (STEP - BAR_WIDTH) // 2, HEIGHT - height, BAR_WIDTH, height))
    return Chart(title, name_heading, value_heading, bars)
