"""LiDAR points to the bird's-eye raster that the network reads, and the ground under them.

The raster has 16 features a cell of 0.2 m, folded 2x2 into 64 channels at 0.4 m: array (1, 64, 176, 200), where axis 2
runs along x (row 0 nearest the vehicle) and axis 3 along y (column 0 rightmost, y = -40 m). Channel
`feature * 4 + 2 * (row of the fine cell & 1) + (column of the fine cell & 1)`. Features, heights above local ground:

    0 to 8   1 where a point lies between neighbouring EDGES_M
    9        greatest height / 4.5, 0 to 1
    10       log(1 + count) / 4
    11       mean of the intensity's rank in this scan, 0 to 1 (so that sensors' scales do not matter)
    12, 13   occupancy by points 0.3 to 2.3 m high of the scans one and two before; 0 where not given
    14       the chance that a camera saw a thing here, where `encode/paint.py` paints it; else 0
    15       1 where beams passed on their way to something farther

Local ground: see `encode/ground.py`. Networks give z above it. Other grids than the standard one have other sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba as nb
import numpy as np

from fusion_pipeline.arrays import Array, Floats, require_shape
from fusion_pipeline.encode.grid import FRONT, BevGrid
from fusion_pipeline.encode.ground import height_at, heights_at, local_ground

EDGES_M = (-0.3, 0.1, 0.4, 0.7, 1.0, 1.4, 1.8, 2.3, 3.0, 4.5)
FEATURES = 16
_SECTORS = 720


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ranks(intensity: Floats) -> Floats:
    """(257,) share of the points whose intensity lies under i / 256, halves of ties counted."""
    counts = np.zeros(256, np.int64)
    total = 0
    for i in range(len(intensity)):
        v = intensity[i]
        if v == v:
            counts[int(min(max(v, 0.0), 1.0) * 255.0)] += 1
            total += 1
    table = np.zeros(256, np.float32)
    seen = 0.0
    for k in range(256):
        table[k] = (seen + 0.5 * counts[k]) / max(total, 1)
        seen += counts[k]
    return table


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sector(y: Any, x: Any) -> int:
    """Which of _SECTORS even parts of the circle a place lies in; arc tangent to 2e-6 rad by a polynomial."""
    ax, ay = abs(x), abs(y)
    a = min(ax, ay) / max(max(ax, ay), np.float32(1e-9))
    s = a * a
    angle = a * (
        np.float32(0.99997726) + s * (np.float32(-0.33262347) + s * (np.float32(0.19354346) + s * (
            np.float32(-0.11643287) + s * (np.float32(0.05265332) - s * np.float32(0.01172120)))))
    )  # fmt: skip
    if ay > ax:
        angle = np.float32(np.pi / 2) - angle
    if x < 0:
        angle = np.float32(np.pi) - angle
    if y < 0:
        angle = -angle
    return int((angle * np.float32(1 / np.pi) + np.float32(1)) * np.float32(0.5 * (_SECTORS - 1)))


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    xyz: Floats, intensity: Floats, ranks: Floats, ground: Floats, edges: Floats, x0: float, y0: float, cell: float,
    tile: float, sectors: Array, out: Floats,
) -> None:  # fmt: skip
    rows, cols = out.shape[1] * 2, out.shape[2] * 2
    # First all of a cell's facts side by side, then the channels, which lie far apart in memory.
    slices = np.zeros((rows, cols), np.uint16)
    top = np.zeros((rows, cols), np.float32)
    count = np.zeros((rows, cols), np.int32)
    bright = np.zeros((rows, cols), np.float32)
    farthest = np.zeros(_SECTORS, np.float32)
    scale, x1, y1 = 1 / cell, x0 + rows * cell, y0 + cols * cell
    for i in range(len(xyz)):
        x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
        if not (x >= x0 and y >= y0 and x < x1 and y < y1 and abs(z) < 50.0):
            continue
        h = z - height_at(ground, x, y, x0, y0, tile)
        if h >= edges[9] or h < edges[0]:
            continue
        r, c = min(int((x - x0) * scale), rows - 1), min(int((y - y0) * scale), cols - 1)
        s = 0
        while h >= edges[s + 1]:
            s += 1
        slices[r, c] |= np.uint16(1 << s)
        top[r, c] = max(top[r, c], h)
        count[r, c] += 1
        v = intensity[i]
        if v == v:
            bright[r, c] += ranks[int(min(max(v, 0.0), 1.0) * 255.0)]
        sector = _sector(y, x)
        reach = x * x + y * y
        if reach > farthest[sector]:
            farthest[sector] = reach
    logs = np.empty(257, np.float32)
    for n in range(257):
        logs[n] = np.log(1.0 + n) / 4.0
    for r in range(rows):
        for c in range(cols):
            n = count[r, c]
            k, rr, cc = 2 * (r & 1) + (c & 1), r >> 1, c >> 1
            if n > 0:
                bits = slices[r, c]
                for s in range(9):
                    if (bits >> s) & 1:
                        out[4 * s + k, rr, cc] = 1.0
                out[36 + k, rr, cc] = top[r, c] / edges[9]
                out[40 + k, rr, cc] = logs[min(n, 256)]
                out[44 + k, rr, cc] = bright[r, c] / n
                continue
            x, y = x0 + (2 * rr + 1) * cell, y0 + (2 * cc + 1) * cell
            if x * x + y * y < farthest[sectors[rr, cc]]:
                out[60 + k, rr, cc] = 1.0


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _occupy(
    xyz: Floats, ground: Floats, x0: float, y0: float, cell: float, tile: float, first: int, out: Floats
) -> None:
    rows, cols = out.shape[1] * 2, out.shape[2] * 2
    for i in range(len(xyz)):
        x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
        if not (x >= x0 and y >= y0 and x < x0 + rows * cell and y < y0 + cols * cell and abs(z) < 50.0):
            continue
        h = z - height_at(ground, x, y, x0, y0, tile)
        if h > 0.3 and h < 2.3:
            r, c = min(int((x - x0) / cell), rows - 1), min(int((y - y0) / cell), cols - 1)
            out[first + 2 * (r & 1) + (c & 1), r >> 1, c >> 1] = 1.0


class BevRaster:
    """Points to raster; keeps the ground map of the last scan.

    With `reuse` every raster is the same array, filled anew: that saves a millisecond, and the caller must be done with
    one before asking for the next.
    """

    def __init__(self, grid: BevGrid = FRONT, reuse: bool = False) -> None:
        if grid.fold != 2:
            raise ValueError(f"fold is {grid.fold}, only 2 is built")
        self.grid = grid
        self._edges = np.asarray(EDGES_M, np.float32)
        self._ground = np.zeros(grid.tiles, np.float32)
        self._out = np.zeros((1, 4 * FEATURES, *grid.shape), np.float32) if reuse else None
        step = grid.cell_m * grid.fold
        x = grid.x_m[0] + (np.arange(grid.shape[0], dtype=np.float32)[:, None] + 0.5) * step
        y = grid.y_m[0] + (np.arange(grid.shape[1], dtype=np.float32)[None] + 0.5) * step
        self._sectors = ((np.arctan2(y, x) / np.pi + 1) * 0.5 * (_SECTORS - 1)).astype(np.int32)

    def __call__(self, xyz_m: Floats, intensity: Floats, previous: Sequence[Floats] = ()) -> Floats:
        """The raster (1, 64, 176, 200) of N points (N, 3) in the vehicle frame with intensity (N,), 0 to 1.

        `previous` holds up to two earlier scans' points, newest first, moved into the same frame. Points that are
        not finite are passed over. Raises ValueError for wrong shapes.
        """
        require_shape("xyz_m", xyz_m, None, 3)
        require_shape("intensity", intensity, len(xyz_m))
        grid = self.grid
        x0, y0 = grid.x_m[0], grid.y_m[0]
        xyz = np.ascontiguousarray(xyz_m, np.float32)
        bright = np.ascontiguousarray(intensity, np.float32)
        out = np.zeros((1, 4 * FEATURES, *grid.shape), np.float32) if self._out is None else self._out
        if self._out is not None:
            out.fill(0)
        self._ground = local_ground(xyz, x0, y0, grid.tile_m, *grid.tiles)
        ranks, sizes = _ranks(bright), (grid.cell_m, grid.tile_m)
        _fill(xyz, bright, ranks, self._ground, self._edges, x0, y0, *sizes, self._sectors, out[0])
        for i, old in enumerate(previous[:2]):
            old = np.ascontiguousarray(old, np.float32)
            _occupy(old, self._ground, x0, y0, grid.cell_m, grid.tile_m, 48 + 4 * i, out[0])
        return out

    @property
    def ground(self) -> Floats:
        """Heights of the last scan's ground by tiles of the grid, metres in the vehicle frame."""
        return self._ground

    def ground_at(self, xy_m: Floats) -> Floats:
        """Height of the last scan's ground at (N, 2) places, (N,) metres in the vehicle frame; held at the edges."""
        require_shape("xy_m", xy_m, None, 2)
        points = np.ascontiguousarray(xy_m, np.float32)
        return np.asarray(heights_at(self._ground, points, *self._origin(), self.grid.tile_m), np.float32)

    def _origin(self) -> tuple[float, float]:
        return self.grid.x_m[0], self.grid.y_m[0]
