"""Where the beams of a spinning LiDAR point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats


@dataclass(frozen=True, slots=True)
class BeamTable:
    """Beams by elevation, fired at even steps of azimuth."""

    name: str
    elevations_rad: tuple[float, ...]  # highest first
    azimuth_step_rad: float
    range_m: float = 100.0
    noise_m: float = 0.015

    def directions(self, field_rad: tuple[float, float] = (-np.pi, np.pi), phase: float = 0.0) -> Floats:
        """(beams * steps, 3) unit vectors in the sensor frame, beam by beam; `phase` in steps shifts the azimuths."""
        first, last = field_rad
        azimuths: Doubles = np.arange(first, last, self.azimuth_step_rad) + phase * self.azimuth_step_rad
        elevation, azimuth = np.meshgrid(np.asarray(self.elevations_rad), azimuths, indexing="ij")
        flat = np.cos(elevation)
        rays = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=-1)
        return rays.reshape(-1, 3).astype(np.float32)


def hdl64() -> BeamTable:
    """Velodyne HDL-64E: 32 beams 1/3 degree apart from +2, 32 beams 1/2 degree apart from -8.83; azimuth step 0.18."""
    degrees = np.concatenate([2.0 - np.arange(32) / 3, -8.83 - np.arange(32) / 2])
    return BeamTable("HDL-64E", tuple(np.deg2rad(degrees).tolist()), float(np.deg2rad(0.18)))


def vlp16() -> BeamTable:
    """Velodyne VLP-16: 16 beams 2 degrees apart, 0.2 degree azimuth."""
    return BeamTable("VLP-16", tuple(np.deg2rad(15.0 - 2.0 * np.arange(16)).tolist()), float(np.deg2rad(0.2)))
