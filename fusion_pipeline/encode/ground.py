"""The ground under a scan: per tile the low percentile of its points, outliers refused against the nearer neighbours.

Holes are filled and everything is smoothed over tiles. It is what heights are counted from, so that neither the
sensor's height nor a slope matters.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fusion_pipeline.arrays import Floats


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def local_ground(xyz: Floats, x0: float, y0: float, tile: float, rows: int, cols: int) -> Floats:
    """(rows, cols) heights of the tiles of a grid that begins at (x0, y0), from points (N, 3)."""
    bins, step, base = 160, 0.05, -4.0  # heights from -4 to 4 m
    histogram = np.zeros((rows, cols, bins), np.uint16)
    for i in range(len(xyz)):
        x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
        # Written so that a NaN fails.
        if not (x >= x0 and y >= y0 and z > base and z < base + bins * step):
            continue
        if not (x < x0 + rows * tile and y < y0 + cols * tile):
            continue
        cell = histogram[int((x - x0) / tile), int((y - y0) / tile)]
        b = int((z - base) / step)
        if cell[b] < 65535:
            cell[b] += 1
    low = np.full((rows, cols), np.nan, np.float32)
    for r in range(rows):
        for c in range(cols):
            inside = 0
            for b in range(bins):
                inside += histogram[r, c, b]
            if inside < 3:
                continue
            want, seen = max(2.0, 0.15 * min(inside, 200)), 0
            for b in range(bins):
                seen += histogram[r, c, b]
                if seen >= want:
                    low[r, c] = base + (b + 0.5) * step
                    break
    # March outwards from the vehicle: a tile much above or below its nearer neighbours is a thing, not the ground.
    clean = np.full((rows, cols), np.nan, np.float32)
    middle, start = int(-y0 / tile), max(int(-x0 / tile), 0)
    for n in range(rows):
        ahead = n < rows - start
        r = start + n if ahead else rows - 1 - n
        near_row, far_row = (-2, 1) if ahead else (0, 3)
        for k in range(2 * cols):
            c = middle + (k // 2 if k % 2 == 0 else -(k // 2) - 1)
            if c < 0 or c >= cols:
                continue
            total, n = 0.0, 0
            for dr in range(near_row, far_row):
                for dc in range(-2, 3):
                    rr, cc = r + dr, c + dc
                    if (
                        rr >= 0
                        and rr < rows
                        and cc >= 0
                        and cc < cols
                        and (dr != 0 or dc != 0)
                        and not np.isnan(clean[rr, cc])
                    ):
                        total += clean[rr, cc]
                        n += 1
            near = total / n if n > 0 else 0.0
            value = low[r, c]
            if np.isnan(value) or value > near + 0.25:
                clean[r, c] = near
            elif value < near - 0.4:
                clean[r, c] = near - 0.1
            else:
                clean[r, c] = 0.3 * near + 0.7 * value
    smooth = np.empty((rows, cols), np.float32)
    for r in range(rows):
        for c in range(cols):
            total, weight = 0.0, 0.0
            for dr in range(-1, 2):
                for dc in range(-1, 2):
                    rr, cc = r + dr, c + dc
                    if rr >= 0 and rr < rows and cc >= 0 and cc < cols:
                        w = 1.0 if np.isnan(low[rr, cc]) else 4.0
                        total += w * clean[rr, cc]
                        weight += w
            smooth[r, c] = total / weight
    return smooth


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def height_at(ground: Floats, x: float, y: float, x0: float, y0: float, tile: float) -> float:
    """Between tiles, bilinearly; held at the edges."""
    rows, cols = ground.shape
    u = min(max((x - x0) * (1 / tile) - 0.5, 0.0), rows - 1.001)
    v = min(max((y - y0) * (1 / tile) - 0.5, 0.0), cols - 1.001)
    r, c = int(u), int(v)
    a, b = u - r, v - c
    near = (1 - b) * ground[r, c] + b * ground[r, c + 1]
    far = (1 - b) * ground[r + 1, c] + b * ground[r + 1, c + 1]
    return float((1 - a) * near + a * far)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def heights_at(ground: Floats, xy: Floats, x0: float, y0: float, tile: float) -> Floats:
    """The same at (N, 2) places."""
    out = np.empty(len(xy), np.float32)
    for i in range(len(xy)):
        out[i] = height_at(ground, xy[i, 0], xy[i, 1], x0, y0, tile)
    return out
