"""Where the beams of a spinning LiDAR point."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.world.statistics import KITTI_0052, Statistics


@dataclass(frozen=True, slots=True)
class BeamTable:
    """Beams by elevation, fired at even steps of azimuth."""

    name: str
    elevations_rad: tuple[float, ...]  # highest first
    azimuth_step_rad: float
    range_m: float = 100.0
    noise_m: float = 0.015
    divergence_rad: float = 2e-3  # full angle of a beam
    brightness: tuple[float, ...] = ()  # added to the intensity that each beam reports, highest first; empty: 0
    fade: float = 0.0  # taken from it at 50 m, growing with the square of the range
    statistics: Statistics | None = None  # of losses and intensities; brightness and fade are then not looked at

    def __post_init__(self) -> None:
        if self.statistics is not None and len(self.statistics.lost_by_ring) != len(self.elevations_rad):
            raise ValueError(
                f"{self.name} has {len(self.elevations_rad)} beams, its statistics {len(self.statistics.lost_by_ring)}"
            )

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
    return BeamTable(
        "HDL-64E", tuple(np.deg2rad(degrees).tolist()), float(np.deg2rad(0.18)), brightness=uneven(64), fade=0.12
    )  # fmt: skip


def measured_hdl64() -> BeamTable:
    """The same, losing beams and reporting intensities as KITTI's does; networks learn from varieties of `hdl64`."""
    return replace(hdl64(), statistics=KITTI_0052)


def uneven(beams: int, seed: int = 64) -> tuple[float, ...]:
    """Brightness of lasers that nobody matched to each other.

    Spread as in KITTI's scans, where on one and the same road 3 of 64 lasers report nothing but 0, 6 mostly 0, and
    the medians of the others lie 0.07 apart (standard deviation).
    """
    rng = np.random.default_rng(seed)
    values = rng.normal(0.0, 0.07, beams)
    dull = rng.permutation(beams)
    values[dull[: beams // 20]] -= 0.35
    values[dull[beams // 20 : beams // 7]] -= 0.14
    return tuple(float(value) for value in values)


def vlp16() -> BeamTable:
    """Velodyne VLP-16: 16 beams 2 degrees apart, 0.2 degree azimuth."""
    return BeamTable("VLP-16", tuple(np.deg2rad(15.0 - 2.0 * np.arange(16)).tolist()), float(np.deg2rad(0.2)))


def _even(
    name: str, top_deg: float, bottom_deg: float, beams: int, step_deg: float, range_m: float, noise_m: float
) -> BeamTable:
    elevations = np.deg2rad(np.linspace(top_deg, bottom_deg, beams))
    return BeamTable(name, tuple(elevations.tolist()), float(np.deg2rad(step_deg)), range_m, noise_m)


def hdl32() -> BeamTable:
    """Velodyne HDL-32E: 32 beams 1 1/3 degrees apart from +10.67; 0.17 degree azimuth at 10 Hz; data sheet 97-0038."""
    return _even("HDL-32E", 32 / 3, -92 / 3, 32, 0.17, 100.0, 0.02)


def os1_64() -> BeamTable:
    """Ouster OS1-64, uniform: 64 beams over 45 degrees, 2048 columns; its noise of 0.7 to 5 cm taken as 1.5 cm."""
    return _even("OS1-64", 22.5, -22.5, 64, 360 / 2048, 120.0, 0.015)


def os1_128() -> BeamTable:
    """Ouster OS1-128: 128 beams over 45 degrees, 2048 columns; its noise of 0.7 to 5 cm taken as 1.5 cm."""
    return _even("OS1-128", 22.5, -22.5, 128, 360 / 2048, 120.0, 0.015)


def pandar40() -> BeamTable:
    """Hesai Pandar40: 1 degree apart from +7 to +2 and from -6 to -16, 1/3 degree between; 0.2 degree azimuth."""
    degrees = np.concatenate([7.0 - np.arange(5), 2.0 - np.arange(25) / 3, -7.0 - np.arange(10)])
    return BeamTable("Pandar40", tuple(np.deg2rad(degrees).tolist()), float(np.deg2rad(0.2)), 200.0, 0.02)


# Nominal figures of the makers' data sheets; single sensors differ.
BEAM_TABLES: dict[str, Callable[[], BeamTable]] = {
    "HDL-64E": measured_hdl64, "VLP-16": vlp16, "HDL-32E": hdl32, "OS1-64": os1_64, "OS1-128": os1_128,
    "Pandar40": pandar40,
}  # fmt: skip


def beam_table(name: str) -> BeamTable:
    """The beams of the sensor called `name`. Raises ValueError naming the nearest and all."""
    if name in BEAM_TABLES:
        return BEAM_TABLES[name]()
    near = difflib.get_close_matches(name, BEAM_TABLES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no LiDAR is called {name!r}; {hint}known: {', '.join(BEAM_TABLES)}")
