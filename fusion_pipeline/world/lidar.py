"""A LiDAR in a scene: what comes back, how far, how bright, from which thing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Floats, Ints
from fusion_pipeline.world.beams import BeamTable, hdl64
from fusion_pipeline.world.materials import Material, table
from fusion_pipeline.world.scene import RayCaster, Scene


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """N points in the vehicle frame."""

    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,) 0 to 1
    instances: Ints  # (N,) index into scene.things, -1 static


@dataclass(frozen=True, slots=True)
class SimulatedLidar:
    """A spinning LiDAR at rest for one turn."""

    beams: BeamTable
    height_m: float = 1.73
    field_rad: tuple[float, float] = (-np.pi, np.pi)

    def scan(self, scene: Scene, seed: int) -> Scan:
        """One turn. Glass lets most beams pass, twice at most; grazing, dark and far surfaces lose some."""
        rng = np.random.default_rng(seed)
        ways = self.beams.directions(self.field_rad, float(rng.random()))
        # Real beams wander a little about their table.
        ways = ways + rng.normal(0, 2e-4, ways.shape).astype(np.float32)
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        start = np.broadcast_to(np.asarray([0, 0, self.height_m], np.float32), ways.shape)
        caster = RayCaster(scene)
        hits = caster.cast(start, ways)
        distance, normals = hits.distance_m.copy(), hits.normals.copy()
        materials, owners = hits.materials.copy(), hits.instances.copy()
        passes, lost, reflectance = table("passes"), table("lost"), table("reflectance")
        for _ in range(2):
            through = np.flatnonzero(
                np.isfinite(distance) & (materials == Material.GLASS) & (rng.random(len(ways)) < passes[materials])
            )
            if not len(through):
                break
            gone = distance[through] + 0.01
            inner = caster.cast(start[through] + ways[through] * gone[:, None], ways[through])
            distance[through] = gone + inner.distance_m
            normals[through], materials[through] = inner.normals, inner.materials
            owners[through] = inner.instances
        incidence = np.abs((ways * normals).sum(axis=1))
        seen = np.isfinite(distance) & (distance < self.beams.range_m) & (distance > 0.9)
        loss = lost[materials] + 0.25 * np.clip(1 - incidence / 0.06, 0, 1) + 0.15 * (distance.clip(0, 99) / 100) ** 2
        seen &= rng.random(len(ways)) > loss
        kept = np.flatnonzero(seen)
        far = distance[kept] + rng.normal(0, self.beams.noise_m, len(kept)).astype(np.float32)
        points = start[kept] + ways[kept] * far[:, None]
        bright = reflectance[materials[kept]] * (0.4 + 0.6 * incidence[kept]) * rng.uniform(0.7, 1.3, len(kept))
        return Scan(points.astype(np.float32), np.clip(bright, 0, 1).astype(np.float32), owners[kept])


def front_hdl64() -> SimulatedLidar:
    """The front half turn of an HDL-64E, 1.73 m up: all that the front raster needs."""
    return SimulatedLidar(hdl64(), field_rad=(-np.pi / 2, np.pi / 2))
