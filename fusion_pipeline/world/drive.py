"""A drive: a ring street, everybody on it and the vehicle that is driven along, as functions of time.

The street is a ring: x counts round it, x + ring_m is the same place. All that moves has made whole laps after one
period, so the world at a time depends on the time modulo the period alone. Processes that know the seed and the
clock see the same world without a word between them.

Frame "world": x along the street, y left, z up, z = 0 the road (of a drive that is level).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Doubles, Floats, require_shape
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.world.meshes import Mesh
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.sound import SoundSource


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A mesh with a colour per triangle."""

    mesh: Mesh
    colours: Floats  # (T, 3) red, green, blue, 0 to 1

    def __post_init__(self) -> None:
        require_shape("body.colours", self.colours, len(self.mesh.triangles), 3)


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """Somebody or something with a box. `track` is the middle of its footprint, on the ground."""

    label: int  # index into scene.CLASSES
    kind: str  # "sedan", "bus", "pedestrian"
    size_m: tuple[float, float, float]  # length, width, height
    track: Track
    body: Body  # in its own frame, standing on z = 0

    @property
    def moves(self) -> bool:
        """Whether it ever does."""
        return bool(self.track.shift_m.any() or np.ptp(self.track.positions_m, axis=0).any())


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Colours of the street seen from above: row i, column j is x = j * cell_m, y = low_m + i * cell_m."""

    pixels: NDArray[np.uint8]  # (rows, columns, 3) red, green, blue
    low_m: float
    cell_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """All that the simulated sensors need to know."""

    ring_m: float
    period_s: float
    ego: Track
    actors: tuple[Actor, ...]
    scenery: Body  # all that has no box
    ground: Ground
    solids: Doubles  # (B, 7) buildings as SoundField takes them
    sounds: tuple[SoundSource, ...]
    level: bool = True  # the ground is the plane z = 0, coloured by `ground`; otherwise it is part of the scenery

    @property
    def period_ns(self) -> int:
        """The period in nanoseconds."""
        return round(self.period_s * SECOND_NS)

    def seconds(self, time_ns: int) -> float:
        """Vehicle time as time of this world, 0 to the period."""
        return (time_ns % self.period_ns) / SECOND_NS
