"""Ego motion: where the vehicle is in its odometry frame and how it moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.arrays import Doubles, require_dtype, require_shape
from fusion_pipeline.messages.header import Header


def unmeasured() -> Doubles:
    """(3,) NaN: no accelerometer."""
    return np.full(3, np.nan)


@dataclass(frozen=True, slots=True)
class EgoMotion:
    """Pose of the vehicle in the odometry frame, twist and acceleration in the vehicle frame, at `capture_ns`.

    The acceleration is the proper one, of the vehicle's origin: at rest on level ground it is +9.81 upwards.
    """

    header: Header
    position_m: Doubles  # (3,)
    orientation: Doubles  # (4,) unit quaternion x, y, z, w
    velocity_mps: Doubles  # (3,)
    angular_velocity_rps: Doubles  # (3,) rad/s
    pose_covariance: Doubles  # (6, 6) of x, y, z and rotation about x, y, z
    twist_covariance: Doubles  # (6, 6)
    acceleration_mps2: Doubles = field(
        default_factory=unmeasured
    )  # (3,) as an accelerometer feels it; NaN: not measured

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
    "acceleration_mps2": (3,),
}
