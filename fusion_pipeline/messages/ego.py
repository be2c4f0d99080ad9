"""Ego motion: where the vehicle is in its odometry frame and how it moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles, require_dtype, require_shape
from fusion_pipeline.messages.header import Header


@dataclass(frozen=True, slots=True)
class EgoMotion:
    """Pose of the vehicle in the odometry frame and twist in the vehicle frame, at `capture_ns`."""

    header: Header
    position_m: Doubles  # (3,)
    orientation: Doubles  # (4,) unit quaternion x, y, z, w
    velocity_mps: Doubles  # (3,)
    angular_velocity_rps: Doubles  # (3,) rad/s
    pose_covariance: Doubles  # (6, 6) of x, y, z and rotation about x, y, z
    twist_covariance: Doubles  # (6, 6)

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            array = getattr(self, name)
            require_shape(f"ego.{name}", array, *shape)
            require_dtype(f"ego.{name}", array, np.float64)
        norm = float(np.linalg.norm(self.orientation))
        if not 0.99 < norm < 1.01:
            raise ValueError(f"ego.orientation has norm {norm:.3f}; a rotation has norm 1")


_SHAPES: dict[str, tuple[int, ...]] = {
    "position_m": (3,),
    "orientation": (4,),
    "velocity_mps": (3,),
    "angular_velocity_rps": (3,),
    "pose_covariance": (6, 6),
    "twist_covariance": (6, 6),
}
