"""Lessons that lie behind the vehicle or beside it: those ahead, mirrored, for the all-round network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.train.data import COLS

if TYPE_CHECKING:
    from fusion_pipeline.train.lessons import Lesson

Arrange = Callable[[Array, int], Array]  # of an array's axes k and k + 1, rows and columns


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """One way to mirror the ground."""

    across: Doubles  # (2, 2) where x and y come to lie
    arrange: Arrange  # the same of a grid's rows, which are along x, and columns, along y
    cells: Callable[[Array], Array]  # and of rows and columns (N, 2) of fine cells, counted from the grid's corner


def _exchanged(cells: Array) -> Array:
    shift = COLS // 2  # rows count from the vehicle, columns from the right edge
    return np.stack([cells[:, 1] - shift, cells[:, 0] + shift], axis=1)


BACKWARDS = Mirror(np.diag([-1.0, 1.0]), lambda grid, axis: np.flip(grid, axis), lambda cells: cells * [-1, 1] - [1, 0])
SIDEWAYS = Mirror(np.fliplr(np.eye(2)), lambda grid, axis: np.swapaxes(grid, axis, axis + 1), _exchanged)


def mirrored(item: Lesson, mirror: Mirror) -> Lesson:
    """The same lesson elsewhere; only a square one can be mirrored SIDEWAYS."""
    old, crop = item.target, item.target.weight.shape
    boxes = old.boxes.copy()
    heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], axis=1) @ mirror.across.T
    boxes[:, :2], boxes[:, 7:9] = boxes[:, :2] @ mirror.across.T, boxes[:, 7:9] @ mirror.across.T
    boxes[:, 6] = np.arctan2(heading[:, 1], heading[:, 0])
    row, column = mirror.cells(np.asarray([item.corner, np.add(item.corner, crop) - 1])).min(axis=0).tolist()

    def fine(values: Array, *before: int) -> Array:
        """Of what has its 2 x 2 fine cells in a coarse one before rows and columns."""
        folds = values.reshape(*before, 2, 2, crop[0], crop[1])
        axis = len(before)
        return np.ascontiguousarray(mirror.arrange(mirror.arrange(folds, axis), axis + 2)).reshape(values.shape)

    def coarse(values: Array, *after: int) -> Array:
        grid = values.reshape(crop[0] // 2, crop[1] // 2, *after)
        return np.ascontiguousarray(mirror.arrange(grid, 0)).reshape(values.shape)

    target = replace(
        old, raster=fine(old.raster, 16), heat=np.ascontiguousarray(mirror.arrange(old.heat, 1)),
        weight=np.ascontiguousarray(mirror.arrange(old.weight, 0)), cells=mirror.cells(old.cells), boxes=boxes,
    )  # fmt: skip
    across = mirror.across.astype(np.float32)
    around = across[::-1, ::-1].T  # of sine and cosine, in this order
    rays, geometry = item.cam_rays.copy(), coarse(item.aud_geo, 4)
    rays[:, :2], rays[:, 3:5] = rays[:, :2] @ across.T, rays[:, 3:5] @ across.T
    geometry[:, 2:] = geometry[:, 2:] @ around
    return replace(
        item, target=target, corner=(row, column), cam_lut=coarse(item.cam_lut, 3), cam_bin=coarse(item.cam_bin, 3),
        cam_rays=rays, aud_lut=coarse(item.aud_lut), aud_geo=geometry, aud_dir=item.aud_dir @ around,
        paint_rows=fine(item.paint_rows),
    )  # fmt: skip
