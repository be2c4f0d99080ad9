"""The ground of an open scene, painted area by area."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.world.drive import Ground

CELL_M, LOW_M = 0.15, -80.0
GRASS, ASPHALT, WORN = (0.25, 0.34, 0.15), (0.22, 0.22, 0.235), (0.29, 0.29, 0.30)
SLABS, EARTH = (0.46, 0.45, 0.43), (0.40, 0.31, 0.22)
WHITE, YELLOW = (0.82, 0.82, 0.80), (0.85, 0.66, 0.10)
Colour = tuple[float, float, float]


class Pavement:
    """Paint for `length_m` of x from 0 and 80 m to both sides; what is painted later lies on top."""

    def __init__(self, length_m: float, colour: Colour = GRASS) -> None:
        self._pixels: Floats = np.empty((round(-2 * LOW_M / CELL_M), round(length_m / CELL_M), 3), np.float32)
        self._pixels[:] = colour

    def area(self, x: tuple[float, float], y: tuple[float, float], colour: Colour) -> None:
        """A rectangle."""
        j0, j1 = (round(value / CELL_M) for value in x)
        i0, i1 = (round((value - LOW_M) / CELL_M) for value in y)
        self._pixels[max(i0, 0) : max(i1, 0), max(j0, 0) : max(j1, 0)] = colour

    def line(
        self, x: tuple[float, float], y: tuple[float, float], dash_m: float = 0.0, gap_m: float = 0.0,
        colour: Colour = WHITE,
    ) -> None:  # fmt: skip
        """A line 0.15 m wide along its longer side, dashed where `dash_m` is given."""
        along_x = x[1] - x[0] >= y[1] - y[0]
        start, end = x if along_x else y
        dash = dash_m or end - start
        while start < end:
            span = (start, min(start + dash, end))
            if along_x:
                self.area(span, (y[0], y[0] + CELL_M), colour)
            else:
                self.area((x[0], x[0] + CELL_M), span, colour)
            start += dash + max(gap_m, CELL_M)

    def zebra(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        """Bars along x, for people who cross a road that runs along x."""
        for low in np.arange(y[0], y[1] - 0.5, 1.0):
            self.area(x, (float(low), float(low) + 0.5), WHITE)

    def ground(self, rng: np.random.Generator) -> Ground:
        """The ground, a little uneven in colour."""
        rows, columns = self._pixels.shape[:2]
        blotch = rng.normal(0, 0.04, (rows // 8 + 1, columns // 8 + 1)).astype(np.float32)
        grain = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
        noise = 1 + np.repeat(np.repeat(blotch, 8, 0), 8, 1)[:rows, :columns] + (grain.astype(np.float32) - 128) / 1800
        return Ground(np.clip(self._pixels * noise[..., None] * 255, 0, 255).astype(np.uint8), LOW_M, CELL_M)
