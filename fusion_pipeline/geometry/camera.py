"""Camera models: points in the optical frame (x right, y down, z forward) to pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Array, Doubles, require_shape

MODELS = ("pinhole", "fisheye")
COEFFICIENTS = {"pinhole": (0, 4, 5, 8, 12, 14), "fisheye": (0, 4)}  # that OpenCV's models may have
MIN_DEPTH_M = 0.1  # nearer points have no useful projection


@dataclass(frozen=True, slots=True, eq=False)
class CameraModel:
    """Intrinsics of one camera. Pixel (0, 0) is the centre of the upper-left pixel.

    `distortion` follows OpenCV: k1 k2 p1 p2 [k3 ...] for "pinhole", k1 k2 k3 k4 (equidistant) for "fisheye".
    """

    model: str
    width_px: int
    height_px: int
    matrix: Doubles  # (3, 3)
    distortion: Doubles  # (n,) empty for a rectified camera

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"camera model {self.model!r} is unknown; known: {', '.join(MODELS)}")
        if self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(f"camera is {self.width_px} x {self.height_px} px; both must be positive")
        require_shape("camera.matrix", self.matrix, 3, 3)
        require_shape("camera.distortion", self.distortion, None)
        if len(self.distortion) not in COEFFICIENTS[self.model]:
            *few, most = (str(count) for count in COEFFICIENTS[self.model] if count)
            known = f"{', '.join(few)} or {most}" if few else most
            raise ValueError(f"a {self.model} camera has {known} distortion coefficients, not {len(self.distortion)}")
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.distortion).all()):
            raise ValueError("the intrinsics of a camera must be finite")
        if self.matrix[0, 0] <= 0 or self.matrix[1, 1] <= 0:
            raise ValueError(f"focal lengths of {self.matrix[0, 0]:g}, {self.matrix[1, 1]:g} px; both must be positive")

    def project(self, points_m: Array) -> tuple[Doubles, NDArray[np.bool_]]:
        """(N, 3) optical-frame points to (N, 2) pixels u, v and (N,) whether each lies before the camera and inside
        the picture. Pixels of invisible points are NaN.
        """
        points = np.asarray(points_m, np.float64)
        before = points[:, 2] > MIN_DEPTH_M
        pixels = np.full((len(points), 2), np.nan)
        if before.any():
            pixels[before] = self._project_forward(points[before])
        with np.errstate(invalid="ignore"):
            inside = (
                (pixels[:, 0] > -0.5) & (pixels[:, 0] < self.width_px - 0.5)
                & (pixels[:, 1] > -0.5) & (pixels[:, 1] < self.height_px - 0.5)
            )  # fmt: skip
        return pixels, before & inside

    def _project_forward(self, points: Doubles) -> Doubles:
        if len(self.distortion) == 0 and self.model == "pinhole":
            homogeneous = points @ self.matrix.T
            return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], np.float64)
        zero = np.zeros(3)
        coefficients = self.distortion if len(self.distortion) else np.zeros(4)
        project = cv2.fisheye.projectPoints if self.model == "fisheye" else cv2.projectPoints
        if self.model == "fisheye":
            pixels, _ = project(points[:, None, :], zero, zero, self.matrix, coefficients)
        else:
            pixels, _ = project(points, zero, zero, self.matrix, coefficients)
        return np.asarray(pixels, np.float64).reshape(-1, 2)

    def rays(self, pixels: Array) -> Doubles:
        """(N, 2) pixels u, v to (N, 3) unit directions in the optical frame."""
        points = np.asarray(pixels, np.float64).reshape(-1, 1, 2)
        if self.model == "fisheye":
            flat = cv2.fisheye.undistortPoints(
                points, self.matrix, self.distortion if len(self.distortion) else np.zeros(4)
            )
        else:
            flat = cv2.undistortPoints(points, self.matrix, self.distortion if len(self.distortion) else None)
        directions = np.concatenate([flat.reshape(-1, 2), np.ones((len(points), 1))], axis=1)
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True), np.float64)

    def scaled(self, width_px: int, height_px: int) -> CameraModel:
        """The same camera with its picture resized to `width_px` x `height_px`."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        matrix = self.matrix.copy()
        matrix[0, 0] *= sx
        matrix[0, 2] = (matrix[0, 2] + 0.5) * sx - 0.5
        matrix[1, 1] *= sy
        matrix[1, 2] = (matrix[1, 2] + 0.5) * sy - 0.5
        return CameraModel(self.model, width_px, height_px, matrix, self.distortion)
