"""What a figure can be drawn of: curves and bars as numbers, without a way to draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Series:
    """One curve, or one set of bars; bars have an interval where `low` and `high` are as long as `y`."""

    name: str
    y: tuple[float, ...]
    x: tuple[float, ...] = ()  # of curves; bars stand at the chart's categories
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot. Its name is the file's."""

    name: str
    title: str
    kind: Literal["curves", "bars"]
    x_label: str
    y_label: str
    x_range: tuple[float, float]  # of curves
    y_range: tuple[float, float]
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()  # of bars
    note: str = ""
    diagonal: bool = False  # a line where x is y, for what should lie on it
