"""The part of the ground that networks look at, and its cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles

COARSE_M = 0.8  # cells in which camera and sound are lifted to the grid


@dataclass(frozen=True, slots=True)
class BevGrid:
    """The part of the ground that the raster covers."""

    x_m: tuple[float, ...] = (0.0, 70.4)
    y_m: tuple[float, ...] = (-40.0, 40.0)
    cell_m: float = 0.2
    fold: int = 2
    tile_m: float = 1.6  # of the ground map

    @property
    def shape(self) -> tuple[int, int]:
        """Folded rows (along x) and columns (along y)."""
        step = self.cell_m * self.fold
        return round((self.x_m[1] - self.x_m[0]) / step), round((self.y_m[1] - self.y_m[0]) / step)

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of the ground map."""
        rows, cols = self.x_m[1] - self.x_m[0], self.y_m[1] - self.y_m[0]
        return int(np.ceil(rows / self.tile_m - 1e-6)), int(np.ceil(cols / self.tile_m - 1e-6))

    @property
    def coarse(self) -> tuple[int, int]:
        """Rows and columns of COARSE_M, where the senses meet."""
        return self.shape[0] // 2, self.shape[1] // 2

    def cells(self, rows: slice = slice(None), columns: slice = slice(None)) -> Doubles:
        """(N, 2) x, y of the middles of the coarse cells of a window, row by row."""
        x = self.x_m[0] + (np.arange(self.coarse[0])[rows] + 0.5) * COARSE_M
        y = self.y_m[0] + (np.arange(self.coarse[1])[columns] + 0.5) * COARSE_M
        return np.stack([part.ravel() for part in np.meshgrid(x, y, indexing="ij")], axis=1)


FRONT = BevGrid()
ALL_ROUND = BevGrid((-51.2, 51.2), (-51.2, 51.2))
