"""LiDAR scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Floats, Offsets, require_dtype, require_shape
from fusion_pipeline.messages.header import Header


@dataclass(frozen=True, slots=True)
class LidarScan:
    """One sweep of N returns in the sensor's frame (x forward, y left, z up).

    `capture_ns` is the instant of the first firing; the sweep ends `duration_ns` later.
    """

    header: Header
    duration_ns: int
    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,) 0 to 1
    ring: NDArray[np.uint16]  # (N,) beam index, 0 at the top; all 0 where the source has none
    offset_ns: Offsets  # (N,) firing time after capture_ns; all 0 where the source has none

    def __post_init__(self) -> None:
        n = len(self.xyz_m)
        require_shape("lidar.xyz_m", self.xyz_m, n, 3)
        require_shape("lidar.intensity", self.intensity, n)
        require_shape("lidar.ring", self.ring, n)
        require_shape("lidar.offset_ns", self.offset_ns, n)
        require_dtype("lidar.xyz_m", self.xyz_m, np.float32)
        require_dtype("lidar.intensity", self.intensity, np.float32)
        require_dtype("lidar.ring", self.ring, np.uint16)
        require_dtype("lidar.offset_ns", self.offset_ns, np.int32)
        if self.duration_ns < 0:
            raise ValueError(f"lidar.duration_ns is {self.duration_ns}; it must not be negative")

    @property
    def middle_ns(self) -> int:
        """Vehicle time half-way through the sweep."""
        return self.header.capture_ns + self.duration_ns // 2
