"""Lenses: the plane that is drawn for a camera, and how its pixels find their rays in it."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.world.surfaces import RayGrid

WIDEST = float(np.tan(np.deg2rad(75.0)))  # rays farther from the axis stay black
MOST_PX = 3000
Any2 = TypeVar("Any2", bound=Array)


class Lens:
    """A pinhole camera without distortion is its own plane; others look their pixels up in one that is fine enough."""

    def __init__(self, model: CameraModel) -> None:
        """Raises ValueError where a lens bends rays so that its own model does not find them again."""
        matrix, width, height = model.matrix, model.width_px, model.height_px
        if model.model == "pinhole" and not np.any(model.distortion):
            columns, rows = (
                (np.arange(width) - matrix[0, 2]) / matrix[0, 0],
                (np.arange(height) - matrix[1, 2]) / matrix[1, 1],
            )
            self.grid, self._map = RayGrid(columns, np.ones(width), rows), None
            return
        v, u = np.mgrid[0:height, 0:width]
        rays = model.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            flat = rays[:, :2] / rays[:, 2:]
        again, _ = model.project(np.column_stack([flat, np.ones(len(flat))]))
        error = np.linalg.norm(again - np.stack([u.ravel(), v.ravel()], axis=1), axis=1)
        seen = (rays[:, 2] > 0) & (np.abs(flat) < WIDEST).all(axis=1) & (error < 0.5)
        if seen.mean() < 0.25:
            raise ValueError("this lens model cannot be inverted: fewer than a quarter of its pixels have a ray")
        low, high = flat[seen].min(axis=0), flat[seen].max(axis=0)
        step = 1 / max(matrix[0, 0], matrix[1, 1])
        step = max(step, float((high - low).max()) / MOST_PX)
        columns, rows = np.arange(low[0], high[0] + step, step), np.arange(low[1], high[1] + step, step)
        self.grid = RayGrid(columns, np.ones(len(columns)), rows)
        place = np.where(seen[:, None], (flat - low) / step, -10.0).astype(np.float32)
        self._map = place[:, 0].reshape(height, width), place[:, 1].reshape(height, width)

    def smooth(self, plane: Floats) -> Floats:
        """(height, width, ...) of light (H, W, ...) on the plane, between its rays; black beyond."""
        return np.asarray(self._looked_up(plane, cv2.INTER_LINEAR), np.float32)

    def nearest(self, plane: Any2) -> Any2:
        """(height, width) of values on the plane, none of them mixed; 0 beyond."""
        if self._map is None:
            return plane
        values = np.ascontiguousarray(plane, np.float32 if plane.dtype.kind == "f" else np.float64)
        return self._looked_up(values, cv2.INTER_NEAREST).astype(plane.dtype)  # type: ignore[no-any-return]

    def _looked_up(self, plane: Array, how: int) -> Any:
        if self._map is None:
            return plane
        return cv2.remap(plane, *self._map, how, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
