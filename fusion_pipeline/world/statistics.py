"""How often a real LiDAR loses a beam and how bright it reports, as figures: by range, angle of incidence and ring.

The figures are aggregates of ten scans (every fifth of frames 0 to 49) of KITTI's raw drive 2011_09_26_0052, a
Velodyne HDL-64E S2 (Geiger, Lenz, Stiller and Urtasun, "Vision meets Robotics: The KITTI Dataset", IJRR 2013).
`fusion bench world` prints them beside those of a simulated street, and tests/world/test_statistics.py counts them
anew where the recording is at hand. Losses are those between two neighbours on one surface. Intensities are the parts
of a sum, fitted with those at 0 taken as cut off there (Tobin, "Estimation of Relationships for Limited Dependent
Variables", 1958), since a quarter of all reports is 0. Panes are from its four labelled frames: of 1047 beams towards
the windows of cars that nothing hides, 38 % came back from behind the car, 18 % from inside, 44 % not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.materials import OPTICS, Material

RANGE_EDGES_M = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 70.0)
COSINE_EDGES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
LIGHT_OF_REFLECTANCE = 0.5  # chosen: what is not road is on average 0.04 brighter, as measured
RETRO_REFLECTANCE = 0.9  # what throws back more than this saturates the receiver
ORDINARY_LOSS = 0.01  # of materials, already within the figures


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one make. Shares of lost beams multiply about their mean; parts of the intensity (0 to 1) add up."""

    source: str
    lost: float  # share of all beams
    lost_by_range: tuple[float, ...]  # between RANGE_EDGES_M; beyond them as in the last
    lost_by_cosine: tuple[float, ...]  # between COSINE_EDGES
    lost_by_ring: tuple[float, ...]  # 0 at the top
    light_of_road: float
    light_by_range: tuple[float, ...]
    light_by_cosine: tuple[float, ...]
    light_by_ring: tuple[float, ...]
    light_spread: float  # standard deviation of what is left
    pane_passes: float  # share of beams that one pane lets through: the root of what two let through beside pillars
    pane_lost: float  # share of the others that bring nothing back

    def __post_init__(self) -> None:
        sizes = [len(self.lost_by_range), len(self.light_by_range), len(self.lost_by_cosine), len(self.light_by_cosine)]
        ranges, cosines = len(RANGE_EDGES_M) - 1, len(COSINE_EDGES) - 1
        if sizes != [ranges, ranges, cosines, cosines] or len(self.lost_by_ring) != len(self.light_by_ring):
            raise ValueError(f"statistics need {ranges} figures by range, {cosines} by cosine, and one of each by ring")

    def lost_by_material(self) -> Doubles:
        """(11,) share of beams that are lost besides."""
        extra = np.asarray([max(OPTICS[m].lost - ORDINARY_LOSS, 0.0) for m in Material], np.float64)
        extra[Material.GLASS] = self.pane_lost
        return extra

    def base(self) -> Doubles:
        """(11,) intensity by material, head-on; 2 where the receiver saturates."""
        road = OPTICS[Material.ROAD].reflectance
        light = [
            2.0 if OPTICS[m].reflectance > RETRO_REFLECTANCE
            else self.light_of_road + LIGHT_OF_REFLECTANCE * (OPTICS[m].reflectance - road)
            for m in Material
        ]  # fmt: skip
        return np.asarray(light, np.float64)


# fmt: off
KITTI_0052 = Statistics(
    source="KITTI raw 2011_09_26 drive 0052, frames 0 to 45 by fives, HDL-64E",
    lost=0.0065,
    lost_by_range=(0.0057, 0.0059, 0.0083, 0.0070, 0.0073, 0.0045, 0.0217),
    lost_by_cosine=(0.0083, 0.0026, 0.0024, 0.0025, 0.0030, 0.0039),
    lost_by_ring=(
        0.0103, 0.0107, 0.0126, 0.0081, 0.0070, 0.0079, 0.0091, 0.0092, 0.0081, 0.0094, 0.0062, 0.0080, 0.0095, 0.0087,
        0.0083, 0.0092, 0.0075, 0.0099, 0.0104, 0.0091, 0.0084, 0.0130, 0.0096, 0.0170, 0.0115, 0.0105, 0.0154, 0.0092,
        0.0101, 0.0142, 0.0128, 0.0109, 0.0060, 0.0052, 0.0046, 0.0048, 0.0045, 0.0045, 0.0030, 0.0050, 0.0040, 0.0043,
        0.0038, 0.0037, 0.0035, 0.0040, 0.0029, 0.0022, 0.0036, 0.0014, 0.0009, 0.0026, 0.0011, 0.0021, 0.0020, 0.0014,
        0.0013, 0.0012, 0.0031, 0.0081, 0.0032, 0.0037, 0.0003, 0.0022,
    ),
    light_of_road=0.198,
    light_by_range=(-0.055, -0.012, 0.090, 0.127, 0.054, 0.004, -0.208),
    light_by_cosine=(-0.197, -0.152, -0.103, -0.038, -0.014, 0.0),
    light_by_ring=(
        0.05, 0.01, -0.01, -0.06, -0.03, -0.03, 0.06, 0.01, 0.05, -0.05, 0.00, 0.08, 0.05, 0.03, 0.03, -0.02, 0.00,
        0.03, 0.05, 0.00, 0.06, -0.07, 0.00, 0.08, 0.00, 0.03, 0.06, 0.06, 0.04, -0.03, 0.06, 0.05, 0.03, 0.00, 0.03,
        -0.09, -0.17, 0.04, 0.09, 0.10, -0.02, 0.02, -0.17, 0.05, -0.01, 0.00, 0.01, -0.04, -0.08, 0.05, 0.08, -0.26,
        0.00, -0.10, -0.11, -0.01, 0.01, 0.09, -0.15, -0.12, -0.14, 0.08, 0.13, 0.07,
    ),
    light_spread=0.171,
    pane_passes=0.67,
    pane_lost=0.9,
)
# fmt: on
