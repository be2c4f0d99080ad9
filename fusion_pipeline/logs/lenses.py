"""Lenses as other systems describe them, by the name of their model: ROS's CameraInfo, Foxglove's CameraCalibration.

A name that is not known, or coefficients that do not belong to it, give no lens: never another model's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose

# OpenCV's model with 4, 5, 8, 12 or 14 coefficients; ROS's image_geometry hands them to OpenCV under any of the names.
_PINHOLE = ("plumb_bob", "rational_polynomial", "radtan", "brown_conrady", "pinhole_radtan", "opencv", "thin_prism",
            "plumb_bob_v1")  # fmt: skip
_EQUIDISTANT = ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4", "kannala_brandt8", "equi",
                "pinhole_equi", "opencv_fisheye")  # fmt: skip
_NONE = ("", "none", "pinhole", "perspective", "rectified", "undistorted")  # right where nothing is distorted
_COUNTS = (0, 4, 5, 8, 12, 14)
RECTIFIED = re.compile(r"(^|[/_])rect(ified)?([/_]|$)")


class LensError(ValueError):
    """A lens that cannot be used: `finding` is the name of what is wrong, the text its detail."""

    def __init__(self, finding: str, detail: str) -> None:
        super().__init__(detail)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a message says of a camera, before it is known which pictures are meant."""

    topic: str
    frame: str
    model: str
    width_px: int
    height_px: int
    matrix: Doubles  # K (3, 3)
    distortion: Doubles  # D (n,)
    rectification: Doubles  # R (3, 3); zeros where it is not given
    projection: Doubles  # P (3, 4); zeros where it is not given
    binning: tuple[int, int] = (1, 1)  # of columns, rows
    region: tuple[int, int, int, int] = (0, 0, 0, 0)  # x, y, width, height in unbinned pixels; no width: all

    def pictures(self, topic: str) -> tuple[CameraModel, Pose]:
        """The lens of the pictures of `topic`, and camera_from_lens: a rectified picture is turned against the camera.

        Raises LensError.
        """
        if self.width_px <= 0 or self.height_px <= 0:
            raise LensError("no-lens", f"{self.topic} has no picture size")
        turn = Pose.identity()
        if RECTIFIED.search(topic):
            matrix, bent, kind = self._rectified()
            rotation = self.rectification
            if np.abs(rotation).max(initial=0) > 0:
                if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or not np.isfinite(rotation).all():
                    raise LensError("no-lens", f"R of {self.topic} is no rotation")
                turn = Pose(np.ascontiguousarray(rotation.T), np.zeros(3))
        else:
            matrix = self.matrix
            kind, bent = lens_kind(self.model, self.distortion)
        _require_matrix(matrix, self.topic)
        _require_centre(matrix, self)
        lens = CameraModel(kind, self.width_px, self.height_px, matrix, bent)
        return lens, turn

    def read_out(self, lens: CameraModel, size: tuple[int, int] | None) -> tuple[CameraModel, str]:
        """Of the whole sensor's `lens` the part that is read out, binned, and what contradicts it: pictures of another
        `size` (width, height), but of the same shape. Raises LensError ("lens-size").
        """
        x, y, width, height = self.region
        part = width > 0 and height > 0 and self.region != (0, 0, lens.width_px, lens.height_px)
        if size == (lens.width_px, lens.height_px) and not part:
            return lens, ""  # K is of pictures of this size, whatever the sensor binned before
        if part:
            if x + width > lens.width_px or y + height > lens.height_px:
                raise LensError("lens-size", f"the region of {self.topic} lies outside of its {lens.width_px} x "
                                             f"{lens.height_px} px")  # fmt: skip
            matrix = lens.matrix.copy()
            matrix[0, 2] -= x
            matrix[1, 2] -= y
            lens = CameraModel(lens.model, width, height, matrix, lens.distortion)
        bx, by = (max(1, n) for n in self.binning)
        if bx > 1 or by > 1:
            lens = _binned(lens, bx, by)
        if size is None or size == (lens.width_px, lens.height_px):
            return lens, ""
        said = f"pictures of {size[0]} x {size[1]} px, intrinsics of {lens.width_px} x {lens.height_px} px"
        if size[0] * lens.height_px != size[1] * lens.width_px:
            raise LensError("lens-size", said)
        return lens, said

    def _rectified(self) -> tuple[Doubles, Doubles, str]:
        matrix = np.ascontiguousarray(self.projection[:, :3])
        if matrix[0, 0] == 0 and matrix[1, 1] == 0:
            raise LensError("no-lens", f"{self.topic} has no P for its rectified pictures")
        return matrix, np.zeros(0), "pinhole"


def lens_kind(model: str, distortion: Sequence[float] | Doubles) -> tuple[str, Doubles]:
    """The name that CameraModel has for a model, and its coefficients. Raises LensError ("unknown-lens")."""
    bent = np.asarray(distortion, np.float64).reshape(-1)
    if not np.isfinite(bent).all():
        raise LensError("no-lens", "distortion coefficients that are not finite")
    name = re.sub(r"[\s\-]+", "_", model.strip().lower())
    none = not bent.any()
    if name in _NONE:
        if none:
            return "pinhole", np.zeros(0)
        said = f"model {model!r}" if name else "no model's name"
        raise LensError("unknown-lens", f"{said} with {len(bent)} coefficients")
    counts: tuple[int, ...]
    if name in _PINHOLE:
        known, counts = "pinhole", _COUNTS[1:]
    elif name in _EQUIDISTANT:
        known, counts = "fisheye", (4,)
    else:
        raise LensError("unknown-lens", f"model {model.strip()[:40]!r}")
    if (known == "pinhole" and none) or not len(bent):
        return known, np.zeros(0)
    if len(bent) in counts:
        return known, bent
    fits = next((n for n in counts if n <= len(bent) and not bent[n:].any()), None)
    if fits is None:
        raise LensError("unknown-lens", f"model {model.strip()[:40]!r} with {len(bent)} coefficients")
    return known, bent[:fits]


def _require_centre(matrix: Doubles, said: Calibration) -> None:
    """A centre at the same small or large share of both sides belongs to pictures of another size.

    Drivers that bin on the sensor give the matrix of the binned picture with the size of the sensor, or the reverse.
    """
    across, down = float(matrix[0, 2]) / said.width_px, float(matrix[1, 2]) / said.height_px
    share = (across + down) / 2
    if abs(across - down) < 0.05 and not 0.3 < share < 0.7:
        raise LensError(
            "lens-size",
            f"the centre of K in {said.topic}, {matrix[0, 2]:.0f} x {matrix[1, 2]:.0f}, is one of pictures of about "
            f"{2 * matrix[0, 2]:.0f} x {2 * matrix[1, 2]:.0f}, not of {said.width_px} x {said.height_px}",
        )


def _require_matrix(matrix: Doubles, topic: str) -> None:
    if not np.isfinite(matrix).all():
        raise LensError("no-lens", f"intrinsics of {topic} are not finite")
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or np.abs(matrix[2] - (0, 0, 1)).max() > 1e-6 or matrix[1, 0] != 0:
        raise LensError("no-lens", f"intrinsics of {topic} are no camera matrix (focal lengths "
                                   f"{matrix[0, 0]:g}, {matrix[1, 1]:g} px)")  # fmt: skip


def _binned(lens: CameraModel, bx: int, by: int) -> CameraModel:
    """Of `bx` x `by` pixels made into one; what is left over at the right and below is not read out."""
    width, height = lens.width_px // bx, lens.height_px // by
    if not width or not height:
        raise LensError("lens-size", f"a binning of {bx} x {by} leaves no pixel")
    whole = CameraModel(lens.model, width * bx, height * by, lens.matrix, lens.distortion)
    return whole.scaled(width, height)
