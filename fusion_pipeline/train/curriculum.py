"""In which order a fusion network learns: which senses it is given, what stays as it is, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from fusion_pipeline.train.lessons import SHARES

CAMERA_ONLY = (0.0, 0.2, 0.0, 0.65, 0.15, 0.0, 0.0)  # of lessons.MIXES
LIDAR_ONLY = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a training."""

    name: str
    share: float  # of the whole time
    shares: tuple[float, ...] = SHARES  # of lessons with each of lessons.MIXES
    kept: tuple[str, ...] = ()  # fusion_fit.PARTS, or camera_fit.EDGES, that neither learn nor change their statistics
    slow: float = 0.6  # the LiDAR's share of the learning rate
    rate: float = 1.0  # of the run's learning rate
    pictures: bool = False  # the camera's part alone, on depth and classes (camera_fit)


FURTHER = (
    Stage("pictures", 0.15, kept=("edges",), pictures=True, rate=1.3),
    Stage("camera", 0.25, CAMERA_ONLY, ("lidar", "audio"), 0.1, 1.3),
    Stage("together", 0.45, kept=("audio",)),
    Stage("settling", 0.15, kept=("audio",), slow=1.0, rate=0.3),
)
FROM_NOTHING = (
    Stage("lidar", 0.35, LIDAR_ONLY, ("camera", "audio"), 1.0, 1.6),
    Stage("pictures", 0.15, pictures=True, rate=1.3),
    Stage("camera", 0.15, CAMERA_ONLY, ("lidar",), 0.1, 1.3),
    Stage("together", 0.25),
    Stage("settling", 0.1, slow=1.0, rate=0.3),
)
