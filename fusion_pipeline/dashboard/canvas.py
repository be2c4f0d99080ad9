"""Drawing on a dark page: smooth lines, translucent areas, text. Colours are red, green, blue; pictures are BGR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes

Colour = tuple[int, int, int]

PAGE: Colour = (15, 17, 23)
PANEL: Colour = (21, 24, 32)
GRID: Colour = (44, 50, 62)
FAINT: Colour = (112, 122, 138)
TEXT: Colour = (226, 230, 238)
TRUTH: Colour = (255, 255, 255)
MISSED: Colour = (255, 59, 48)
CLASSES: tuple[Colour, ...] = ((79, 195, 247), (255, 167, 66), (244, 98, 146), (156, 214, 104), (176, 190, 197))
MODALITIES: tuple[Colour, ...] = ((38, 198, 180), (255, 202, 40), (179, 92, 232))  # LiDAR, camera, audio
SOUND: Colour = MODALITIES[2]

_FINE = 2  # drawn this much larger, then averaged down: thin lines and small text stay smooth
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_PX = 21.0  # height of the font's capitals at scale 1


@dataclass(frozen=True, slots=True)
class Rect:
    """A part of the page, in pixels."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Rect) -> bool:
        """Whether the two have more than an edge in common."""
        return (
            self.x < other.x + other.width and other.x < self.x + self.width
            and self.y < other.y + other.height and other.y < self.y + self.height
        )  # fmt: skip


class Canvas:
    """A page to draw on; coordinates are in its final pixels."""

    def __init__(self, width: int, height: int, colour: Colour = PAGE) -> None:
        self.width, self.height = width, height
        self._fine = np.full((height * _FINE, width * _FINE, 3), colour[::-1], np.uint8)

    def image(self) -> Bytes:
        """(H, W, 3) BGR."""
        return np.asarray(cv2.resize(self._fine, (self.width, self.height), interpolation=cv2.INTER_AREA), np.uint8)

    def paste(self, picture: Bytes, where: Rect) -> None:
        """Put a BGR picture there, stretched to fit."""
        x, y = round(where.x * _FINE), round(where.y * _FINE)
        width, height = round(where.width * _FINE), round(where.height * _FINE)
        self._fine[y : y + height, x : x + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)

    def line(self, points: Array, colour: Colour, width: float = 1.5, closed: bool = False) -> None:
        """A line through (N, 2) points."""
        thickness = max(1, round(width * _FINE))
        cv2.polylines(self._fine, [_pixels(points)], closed, colour[::-1], thickness, cv2.LINE_AA)

    def area(self, points: Array, colour: Colour, opacity: float = 1.0) -> None:
        """The convex area within (N, 2) points, mixed into what is there."""
        pixels = _pixels(points)
        (x0, y0), (x1, y1) = np.maximum(pixels.min(axis=0), 0), pixels.max(axis=0) + 1
        below = self._fine[y0:y1, x0:x1]
        if below.size == 0:
            return
        above = below.copy()
        cv2.fillConvexPoly(above, pixels - (x0, y0), colour[::-1], cv2.LINE_AA)
        below[:] = cv2.addWeighted(above, opacity, below, 1 - opacity, 0)

    def rect(self, where: Rect, colour: Colour, opacity: float = 1.0) -> None:
        """A filled rectangle."""
        x, y, right, bottom = where.x, where.y, where.x + where.width, where.y + where.height
        self.area(np.asarray([[x, y], [right, y], [right, bottom], [x, bottom]]), colour, opacity)

    def circle(self, x: float, y: float, radius: float, colour: Colour, width: float = 1.0) -> None:
        """The outline of a circle."""
        centre = (round(x * _FINE), round(y * _FINE))
        cv2.circle(self._fine, centre, round(radius * _FINE), colour[::-1], max(1, round(width * _FINE)), cv2.LINE_AA)

    def arrow(self, start: Sequence[float], end: Sequence[float], colour: Colour, width: float = 2.0) -> None:
        """A line with a head at `end`."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        length = float(np.hypot(*(b - a)))
        if length < 1:
            return
        along = (b - a) / length
        across = np.asarray([-along[1], along[0]])
        head = min(9.0, length)
        self.line(np.stack([a, b - along * head * 0.8]), colour, width)
        self.area(
            np.stack([b, b - along * head + across * head * 0.45, b - along * head - across * head * 0.45]), colour
        )

    def dots(self, points: Array, colours: Bytes) -> None:
        """A pixel at each of (N, 2) points in (N, 3) red, green, blue; later ones cover earlier ones."""
        pixels = _pixels(points)
        height, width = self._fine.shape[:2]
        inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < width - 1) & (pixels[:, 1] < height - 1)
        x, y, colours = pixels[inside, 0], pixels[inside, 1], colours[inside, ::-1]
        for dx in range(_FINE):
            for dy in range(_FINE):
                self._fine[y + dy, x + dx] = colours

    def text(self, x: float, y: float, text: str, colour: Colour = TEXT, size: float = 13, right: bool = False) -> None:
        """Text whose capitals are 0.75 `size` high, its base line at `y`; `right` ends it at `x`."""
        if right:
            x -= self.text_width(text, size)
        scale = size * 0.75 / _TEXT_PX * _FINE
        where = (round(x * _FINE), round(y * _FINE))
        cv2.putText(self._fine, text, where, _FONT, scale, colour[::-1], _stroke(size), cv2.LINE_AA)

    @staticmethod
    def text_width(text: str, size: float = 13) -> float:
        """How wide `text` would be."""
        (width, _), _ = cv2.getTextSize(text, _FONT, size * 0.75 / _TEXT_PX * _FINE, _stroke(size))
        return float(width) / _FINE

    def clip(self, where: Rect) -> Canvas:
        """A canvas on that part of this one: it begins at (0, 0) there, and nothing drawn on it goes beyond."""
        part = Canvas.__new__(Canvas)
        part.width, part.height = round(where.width), round(where.height)
        x, y = round(where.x) * _FINE, round(where.y) * _FINE
        part._fine = self._fine[y : y + part.height * _FINE, x : x + part.width * _FINE]
        return part


def _pixels(points: Array) -> Array:
    # Far points would overflow OpenCV's fixed-point lines; nothing beyond this is on a page.
    return np.asarray(np.clip(np.round(np.asarray(points, np.float64) * _FINE), -20_000, 20_000), np.int32)


def _stroke(size: float) -> int:
    return max(1, round(size / 9 * _FINE / 2))
