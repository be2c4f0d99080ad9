"""What stands and grows beside a road and is no traffic: banks, hedges, bushes, tall grass, rails, containers, stacks.

It is here for what it looks like from above: much of it has the size of a car, and none of it is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, cylinder, leaves


@dataclass(frozen=True, slots=True)
class Bank:
    """How the ground rises or falls beside the road: a smooth step, then level, with waves along the road."""

    start_m: float  # across the road, where it begins
    width_m: float
    rise_m: float
    wave_m: float
    wavelength_m: float

    @classmethod
    def draw(cls, rng: np.random.Generator, half_m: float) -> Bank:
        """One side of a street whose road ends at `half_m`; half of all sides are flat."""
        rise = 0.0 if rng.random() < 0.5 else float(np.clip(rng.normal(0.6, 1.2), -1.5, 4.0))
        wave = rng.uniform(0, 0.25) if rise else 0.0
        return cls(half_m + rng.uniform(0.6, 6), rng.uniform(0.8, 8), rise, wave, rng.uniform(5, 25))

    def lift(self, along_m: Doubles, outward_m: Doubles) -> Doubles:
        """Height over the level ground at places `outward_m` from the middle of the road."""
        share = np.clip((outward_m - self.start_m) / self.width_m, 0, 1)
        smooth = share * share * (3 - 2 * share)
        return np.asarray(smooth * (self.rise_m + self.wave_m * np.sin(along_m * 2 * np.pi / self.wavelength_m)))


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A mesh, standing on z = 0, and where it goes."""

    mesh: Mesh
    along_m: float
    outward_m: float  # from the road's edge
    radius_m: float  # that must be free
    yaw_rad: float = 0.0


def clutter(rng: np.random.Generator) -> Iterator[Piece]:
    """The pieces of one side of a street, 0 to 75 m along."""
    for row in (_hedges, _thicket, _bushes, _grass, _rail, _containers, _stacks):
        yield from row(rng)


def _hedges(rng: np.random.Generator) -> Iterator[Piece]:
    if rng.random() < 0.45:
        along, outward = rng.uniform(0, 40), rng.uniform(0.4, 7)
        width, height = rng.uniform(0.5, 2.0), rng.uniform(0.5, 2.8)
        for _ in range(rng.integers(2, 12)):
            long = rng.uniform(1.0, 5.0)
            size = (long, width * rng.uniform(0.7, 1.4), height * rng.uniform(0.6, 1.3))
            mesh = leaves(rng, size, int(rng.integers(20, 60) * long))
            yield Piece(mesh, along + long / 2, outward + rng.normal(0, 0.2), 0.5 * width)
            along += long * rng.uniform(0.7, 1.3)


def _thicket(rng: np.random.Generator) -> Iterator[Piece]:
    """A dense strip of bushes and young trees, as high as a truck."""
    if rng.random() < 0.4:
        along, end = rng.uniform(-5, 40), 80.0
        outward, deep, height = rng.uniform(1, 9), rng.uniform(2, 8), rng.uniform(1.5, 6.0)
        for _ in range(rng.integers(3, 14)):
            if along > end:
                return
            size = (rng.uniform(2, 6), deep * rng.uniform(0.5, 1.2), height * rng.uniform(0.5, 1.2))
            mesh = leaves(rng, size, int(rng.integers(120, 320)))
            yield Piece(mesh, along, outward + size[1] / 2 + rng.normal(0, 0.7), 0.6)
            along += rng.uniform(1.5, 5)


def _bushes(rng: np.random.Generator) -> Iterator[Piece]:
    for _ in range(rng.integers(0, 28)):
        size = (rng.uniform(0.6, 5.0), rng.uniform(0.5, 2.6), rng.uniform(0.5, 2.6))
        mesh = leaves(rng, size, int(rng.integers(40, 220)))
        yield Piece(mesh, rng.uniform(0, 75), rng.uniform(0.5, 20), max(size[:2]) / 2, rng.uniform(-np.pi, np.pi))


def _grass(rng: np.random.Generator) -> Iterator[Piece]:
    if rng.random() < 0.5:
        for _ in range(rng.integers(5, 40)):
            size = (rng.uniform(0.4, 2.5), rng.uniform(0.4, 1.5), rng.uniform(0.2, 0.9))
            yield Piece(leaves(rng, size, 40), rng.uniform(0, 60), rng.uniform(0.2, 10), 0.3)


def _rail(rng: np.random.Generator) -> Iterator[Piece]:
    if rng.random() < 0.25:
        long, low = float(rng.uniform(8, 50)), rng.uniform(0.3, 0.5)
        posts = [cylinder(0.05, 0.05, 0.75, Material.METAL) for _ in range(int(long // 2))]
        line = [post.placed((2 * i - long / 2, 0, 0)) for i, post in enumerate(posts)]
        rail = block((long, 0.06, 0.3), (0, 0, low), Material.METAL)
        yield Piece(Mesh.join([*line, rail]), rng.uniform(0, 60), rng.uniform(0.1, 2), 0.3)


def _containers(rng: np.random.Generator) -> Iterator[Piece]:
    for _ in range(rng.integers(0, 4)):
        size = (rng.uniform(0.6, 6.5), rng.uniform(0.5, 2.5), rng.uniform(0.7, 2.7))
        material = Material.METAL if rng.random() < 0.5 else Material.WALL
        yaw = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.2)
        yield Piece(block(size, (0, 0, 0), material), rng.uniform(3, 70), rng.uniform(0.8, 15), max(size[:2]) / 2, yaw)


def _stacks(rng: np.random.Generator) -> Iterator[Piece]:
    for _ in range(rng.integers(0, 3)):
        parts = [
            block(rng.uniform((0.3, 0.3, 0.3), (2.0, 1.2, 1.4)), (*rng.uniform(-1.5, 1.5, 2), 0.0), Material.WALL)
            for _ in range(rng.integers(2, 7))
        ]
        yield Piece(Mesh.join(parts), rng.uniform(3, 65), rng.uniform(1, 12), 2.2, rng.uniform(-np.pi, np.pi))
