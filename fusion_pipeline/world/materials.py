"""What surfaces do to a laser beam: how much comes back, how often it passes or is lost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from fusion_pipeline.arrays import Floats


class Material(IntEnum):
    """Index into the tables below; one per triangle of a mesh."""

    ROAD = 0
    GRASS = 1
    WALL = 2
    PAINT = 3
    DARK_PAINT = 4
    GLASS = 5
    RUBBER = 6
    PLATE = 7
    CLOTH = 8
    FOLIAGE = 9
    METAL = 10


@dataclass(frozen=True, slots=True)
class Optics:
    """Of one material at about 905 nm; the figures are chosen, not measured."""

    reflectance: float  # 0 to 1, at normal incidence
    passes: float = 0.0  # share of beams that go through
    lost: float = 0.01  # share of beams that never come back


OPTICS = {
    Material.ROAD: Optics(0.25),
    Material.GRASS: Optics(0.35),
    Material.WALL: Optics(0.4),
    Material.PAINT: Optics(0.35, lost=0.03),
    Material.DARK_PAINT: Optics(0.08, lost=0.25),
    Material.GLASS: Optics(0.1, passes=0.75, lost=0.1),
    Material.RUBBER: Optics(0.05, lost=0.25),
    Material.PLATE: Optics(1.0, lost=0.0),
    Material.CLOTH: Optics(0.35),
    Material.FOLIAGE: Optics(0.4, lost=0.05),
    Material.METAL: Optics(0.5, lost=0.05),
}


def table(name: str) -> Floats:
    """(11,) one figure of Optics, by material."""
    return np.asarray([getattr(OPTICS[m], name) for m in Material], np.float32)
