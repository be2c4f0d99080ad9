"""Charts as pictures, drawn with OpenCV alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.dashboard.canvas import CLASSES, FAINT, GRID, PANEL, TEXT, Canvas, Colour, Rect
from fusion_pipeline.metrics.charts import Chart, Series

WIDTH, HEIGHT = 900, 560
LEFT, RIGHT, TOP, BOTTOM = 74, 26, 84, 70
COLOURS: tuple[Colour, ...] = (*CLASSES[:4], (179, 92, 232), (38, 198, 180), CLASSES[4])
TICKS = 5


def draw_chart(chart: Chart) -> Bytes:
    """(H, W, 3) BGR picture of a chart."""
    canvas = Canvas(WIDTH, HEIGHT)
    plot = Rect(LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    canvas.rect(plot, PANEL)
    canvas.text(LEFT, 30, chart.title, TEXT, 17)
    _legend(canvas, chart.series)
    _grid(canvas, chart, plot)
    if chart.kind == "curves":
        _curves(canvas, chart, plot)
    else:
        _bars(canvas, chart, plot)
    canvas.text(WIDTH - RIGHT, HEIGHT - 12, chart.note, FAINT, 12, right=True)
    return canvas.image()


def _legend(canvas: Canvas, series: Sequence[Series]) -> None:
    x = float(LEFT)
    for number, one in enumerate(series):
        canvas.rect(Rect(x, 48, 14, 14), COLOURS[number % len(COLOURS)])
        canvas.text(x + 20, 60, one.name, TEXT, 13)
        x += 44 + canvas.text_width(one.name, 13)


def _grid(canvas: Canvas, chart: Chart, plot: Rect) -> None:
    low, high = chart.y_range
    for k in range(TICKS + 1):
        value = low + (high - low) * k / TICKS
        y = plot.y + plot.height * (1 - k / TICKS)
        canvas.line(np.asarray([[plot.x, y], [plot.x + plot.width, y]]), GRID, 1)
        canvas.text(plot.x - 8, y + 5, _tick(value), FAINT, 12, right=True)
    canvas.text(12, plot.y - 8, chart.y_label, FAINT, 12)
    if chart.kind == "curves":
        left, right = chart.x_range
        for k in range(TICKS + 1):
            x = plot.x + plot.width * k / TICKS
            canvas.line(np.asarray([[x, plot.y], [x, plot.y + plot.height]]), GRID, 1)
            text = _tick(left + (right - left) * k / TICKS)
            canvas.text(x - canvas.text_width(text, 12) / 2, plot.y + plot.height + 20, text, FAINT, 12)
        middle = plot.x + plot.width / 2 - canvas.text_width(chart.x_label, 12) / 2
        canvas.text(middle, plot.y + plot.height + 42, chart.x_label, FAINT, 12)


def _curves(canvas: Canvas, chart: Chart, plot: Rect) -> None:
    (left, right), (low, high) = chart.x_range, chart.y_range
    if chart.diagonal:
        canvas.line(np.asarray([[plot.x, plot.y + plot.height], [plot.x + plot.width, plot.y]]), FAINT, 1)
    for number, one in reversed(list(enumerate(chart.series))):  # the first, which matters most, over the others
        x = plot.x + plot.width * (np.clip(np.asarray(one.x), left, right) - left) / (right - left)
        y = plot.y + plot.height * (1 - (np.clip(np.asarray(one.y), low, high) - low) / (high - low))
        points = np.column_stack([x, y])[np.isfinite(one.y)]
        if not len(points):
            continue
        colour = COLOURS[number % len(COLOURS)]
        canvas.line(points, colour, 2.0)
        if len(points) <= 40:
            for px, py in points:
                canvas.circle(px, py, 3, colour, 2)


def _bars(canvas: Canvas, chart: Chart, plot: Rect) -> None:
    low, high = chart.y_range
    room = plot.width / max(1, len(chart.categories))
    thick = 0.8 * room / max(1, len(chart.series))

    def height(value: float) -> float:
        return plot.y + plot.height * (1 - (min(max(value, low), high) - low) / (high - low))

    for place, name in enumerate(chart.categories):
        begin = plot.x + room * (place + 0.1)
        for number, one in enumerate(chart.series):
            value, x = one.y[place], begin + number * thick
            if not math.isfinite(value):
                continue
            top = height(value)
            canvas.rect(Rect(x, top, thick * 0.9, plot.y + plot.height - top), COLOURS[number % len(COLOURS)], 0.85)
            if len(one.low) == len(one.y) and math.isfinite(one.low[place]):
                middle = x + thick * 0.72
                ends = (height(one.low[place]), height(one.high[place]))
                canvas.line(np.asarray([[middle, ends[0]], [middle, ends[1]]]), TEXT, 1.5)
            if thick > 26:
                text = _tick(value)
                canvas.text(x + thick * 0.3 - canvas.text_width(text, 11) / 2, top - 5, text, TEXT, 11)
        _category(canvas, name, begin + 0.4 * room, plot.y + plot.height + 18, room)


def _category(canvas: Canvas, name: str, middle: float, y: float, room: float) -> None:
    """A category's name under its bars, in as many rows as its words need."""
    rows = [""]
    for word in name.split(" "):
        wider = f"{rows[-1]} {word}".strip()
        if canvas.text_width(wider, 12) <= room or not rows[-1]:
            rows[-1] = wider
        else:
            rows.append(word)
    for number, row in enumerate(rows[:3]):
        canvas.text(middle - canvas.text_width(row, 12) / 2, y + 15 * number, row, FAINT, 12)


def _tick(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.0f}"
