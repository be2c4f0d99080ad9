"""Early fusion: what a camera saw is painted onto the raster, by way of the scan's points (PointPainting, Vora et al.
2020).

The paint is the chance that a picture's cell (8 x 8 pixels) shows a thing, feature 14 of the raster. Each fine cell of
the raster is painted by one of its points, the one nearest to BODY_M above the ground: leaves above a car and the road
under it are not the car.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.encode.ground import height_at
from fusion_pipeline.encode.image import Fit
from fusion_pipeline.encode.lookup import HEIGHT_PX, MAP, NEAR_M, UNSEEN, WIDTH_PX, pictured
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.camera import CameraModel

PAINT_CHANNELS = slice(56, 60)  # channels of the folded raster
PICTURED = 6  # classes of pictures, the last none of the things
BODY_M = 0.9


def picture_rows(xyz_m: Floats, model: CameraModel, camera_from_points: Doubles, fit: Fit) -> Ints:
    """(N,) row of the camera's feature map (24 x 80) in which each of points (N, 3) is seen; UNSEEN where in none.

    `camera_from_points` (4, 4) brings points to the camera's frame, `fit` says how its picture lies in the network's
    input.
    """
    turn, shift = camera_from_points[:3, :3], camera_from_points[:3, 3]
    xyz = np.ascontiguousarray(xyz_m, np.float32)
    rows = np.full(len(xyz), UNSEEN, np.int64)
    if model.model == "pinhole" and not len(model.distortion):
        lens = np.asarray([model.matrix[0, 0], model.matrix[0, 2], model.matrix[1, 1], model.matrix[1, 2],
                           fit.scale_x, fit.offset_x, fit.scale_y, fit.offset_y], np.float32)  # fmt: skip
        edges = np.asarray([model.width_px - 0.5, model.height_px - 0.5], np.float32)
        _pinhole(xyz, turn.astype(np.float32), shift.astype(np.float32), lens, edges, rows)
        return rows
    ahead = np.flatnonzero(xyz @ turn[2] + shift[2] > NEAR_M)
    u, v, inside = pictured(xyz[ahead].astype(np.float64) @ turn.T + shift, model, fit)
    rows[ahead[inside]] = (v[inside] // 8).astype(np.int64) * MAP[1] + (u[inside] // 8).astype(np.int64)
    return rows


def painted_by(raster: BevRaster, xyz_m: Floats, rows: Ints, nothing: int = UNSEEN) -> Ints:
    """(4, h, w) for each fine cell of the raster, folded as its channels are, the one of `rows` (N,) that paints it.

    `raster` is the one that has just been made of points `xyz_m` (N, 3); `nothing` is the row of what is not seen.
    """
    grid = raster.grid
    out = np.full((4, *grid.shape), nothing, np.int64)
    xyz = np.ascontiguousarray(xyz_m, np.float32)
    _choose(xyz, rows, nothing, raster.ground, grid.x_m[0], grid.y_m[0], grid.cell_m, grid.tile_m, out)
    return out


def chances_of(segments: Floats) -> Floats:
    """(cameras * 1920 + 1,) chance of a thing in each cell of pictures, from logits (cameras, 6, 24, 80); 0 at the end.

    The last class is none of the things.
    """
    logits = segments.astype(np.float32)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    nothing = raised[:, -1] / raised.sum(axis=1)
    return np.append(1.0 - nothing.reshape(-1), 0.0).astype(np.float32)


def paint(lidar_bev: Array, cells: Ints, segments: Floats) -> None:
    """Fill the raster's (1, 64, h, w) painted channels, of cells (4, h, w) and logits (cameras, 6, 24, 80)."""
    lidar_bev[0, PAINT_CHANNELS] = chances_of(segments)[cells]


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pinhole(xyz: Floats, turn: Floats, shift: Floats, lens: Floats, edges: Floats, rows: Ints) -> None:
    width, height, across = nb.float32(WIDTH_PX), nb.float32(HEIGHT_PX), MAP[1]
    for i in range(len(xyz)):
        x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
        deep = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z + shift[2]
        if not deep > NEAR_M:
            continue
        u = (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z + shift[0]) / deep * lens[0] + lens[1]
        v = (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z + shift[1]) / deep * lens[2] + lens[3]
        if not (u > -0.5 and v > -0.5 and u < edges[0] and v < edges[1]):
            continue
        u, v = u * lens[4] + lens[5], v * lens[6] + lens[7]
        if u >= 0 and v >= 0 and u < width and v < height:
            rows[i] = int(v) // 8 * across + int(u) // 8


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _choose(
    xyz: Floats, rows: Ints, nothing: int, ground: Floats, x0: float, y0: float, cell: float, tile: float, out: Any
) -> None:
    height, width = out.shape[1] * 2, out.shape[2] * 2
    gaps = np.full((height, width), np.float32(3.0))  # farther from BODY_M than this is no body
    for i in range(len(xyz)):
        if rows[i] == nothing:
            continue
        x, y, z = xyz[i, 0], xyz[i, 1], xyz[i, 2]
        if not (x >= x0 and y >= y0 and x < x0 + height * cell and y < y0 + width * cell):
            continue
        r, c = min(int((x - x0) / cell), height - 1), min(int((y - y0) / cell), width - 1)
        gap = abs(z - height_at(ground, x, y, x0, y0, tile) - BODY_M)
        if gap < gaps[r, c]:
            gaps[r, c] = gap
            out[2 * (r & 1) + (c & 1), r >> 1, c >> 1] = rows[i]
