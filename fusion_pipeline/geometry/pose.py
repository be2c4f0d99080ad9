"""Rigid transforms, named `target_from_source`; they compose only where the inner names meet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, require_shape


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A rotation and a translation: `p_target = rotation @ p_source + translation_m`."""

    rotation: Doubles  # (3, 3) orthonormal, determinant 1
    translation_m: Doubles  # (3,)

    def __post_init__(self) -> None:
        require_shape("pose.rotation", self.rotation, 3, 3)
        require_shape("pose.translation_m", self.translation_m, 3)
        error = float(np.abs(self.rotation @ self.rotation.T - np.eye(3)).max())
        if not error < 1e-3 or np.linalg.det(self.rotation) < 0:
            raise ValueError(
                f"pose.rotation is not a rotation (orthonormal to {error:.1e}, must be below 1e-3, determinant +1)"
            )

    @classmethod
    def identity(cls) -> Self:
        """The transform that moves nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, xyzw: Array, translation_m: Array) -> Self:
        """From a unit quaternion (x, y, z, w) and a translation in metres."""
        from scipy.spatial.transform import Rotation  # here: it takes longer to load than a log to look at

        return cls(Rotation.from_quat(xyzw).as_matrix(), np.asarray(translation_m, np.float64))

    @classmethod
    def from_euler(cls, roll_rad: float, pitch_rad: float, yaw_rad: float, translation_m: Array) -> Self:
        """Rz(yaw) Ry(pitch) Rx(roll), then the translation in metres."""
        from scipy.spatial.transform import Rotation

        rotation = Rotation.from_euler("ZYX", [yaw_rad, pitch_rad, roll_rad]).as_matrix()
        return cls(rotation, np.asarray(translation_m, np.float64))

    @property
    def quaternion(self) -> Doubles:
        """(4,) unit quaternion x, y, z, w."""
        from scipy.spatial.transform import Rotation

        return np.asarray(Rotation.from_matrix(self.rotation).as_quat(), np.float64)

    @property
    def matrix(self) -> Doubles:
        """(4, 4) homogeneous matrix."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation_m
        return matrix

    def __matmul__(self, other: Pose) -> Pose:
        return Pose(self.rotation @ other.rotation, self.rotation @ other.translation_m + self.translation_m)

    def inverse(self) -> Pose:
        """source_from_target."""
        return Pose(self.rotation.T.copy(), -self.rotation.T @ self.translation_m)

    def apply(self, points_m: Array) -> Array:
        """(N, 3) points of the source frame, in the target frame; dtype as given."""
        moved: Array = points_m @ self.rotation.T.astype(points_m.dtype)
        moved += self.translation_m.astype(points_m.dtype)
        return moved


def slerp(a: Array, b: Array, fraction: float) -> Doubles:
    """(4,) unit quaternion x, y, z, w between `a` (0) and `b` (1) along the shorter great circle.

    In plain floats: for a single pair that is twenty times faster than arrays (Shoemake 1985).
    """
    p, q = [float(v) for v in a], [float(v) for v in b]
    dot = sum(x * y for x, y in zip(p, q, strict=True))
    if dot < 0:
        q, dot = [-v for v in q], -dot
    if dot > 0.9995:
        u, v = 1 - fraction, fraction  # nearly the same: straight between them, then normalised below
    else:
        angle = math.acos(dot)
        u, v = math.sin((1 - fraction) * angle), math.sin(fraction * angle)
    mixed = [u * x + v * y for x, y in zip(p, q, strict=True)]
    norm = math.sqrt(sum(x * x for x in mixed))
    return np.asarray([x / norm for x in mixed], np.float64)
