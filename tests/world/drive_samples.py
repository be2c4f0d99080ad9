"""Small drives of known make."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.world.drive import Actor, Body, Drive, Ground
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block
from fusion_pipeline.world.motion import Track

RING_M, PERIOD_S = 480.0, 60.0


def still(x: float, y: float, yaw: float = 0.0) -> Track:
    """Somebody who stands."""
    return Track.still((x, y, 0.0), yaw, PERIOD_S)


def straight(x: float, y: float, vx: float, vy: float) -> Track:
    """Somebody who goes straight on until the period is over."""
    return Track.from_function(
        lambda t: np.stack([x + vx * t, y + vy * t, 0 * t], axis=1), PERIOD_S, periodic=False
    )  # fmt: skip


def grey(mesh: Mesh) -> Body:
    """All of one colour."""
    return Body(mesh, np.full((len(mesh.triangles), 3), 0.5, np.float32))


def crate(track: Track, size_m: tuple[float, float, float] = (2.0, 1.0, 1.5), label: int = 0) -> Actor:
    """A box that fills its box."""
    return Actor(label, "crate", size_m, track, grey(block(size_m, (0, 0, 0), Material.METAL)))


def drive_of(ego: Track, *actors: Actor) -> Drive:
    """A ring with these actors and one wall far to the left."""
    wall = grey(block((10.0, 0.5, 4.0), (240.0, 60.0, 0.0), Material.WALL))
    ground = Ground(np.full((480, 4800, 3), 70, np.uint8), -24.0, 0.1)
    return Drive(RING_M, PERIOD_S, ego, actors, wall, ground, np.zeros((0, 7)), ())
