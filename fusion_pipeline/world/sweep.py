"""A LiDAR in a drive: one sweep of the field ahead, as the world is in the middle of it.

The points lie where things are at mid-sweep, as if the sweep had been corrected for all motion within it; `offset_ns`
tells when each was fired all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats, Ints
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.beams import BeamTable, hdl64
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.materials import Material, table
from fusion_pipeline.world.surfaces import RayGrid
from fusion_pipeline.world.view import View

FIELD_RAD = float(np.deg2rad(75.0))  # to both sides of ahead: what the network looks at
CLOSEST_M = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """N points in the sensor's frame."""

    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,) 0 to 1
    ring: Ints  # (N,) beam, 0 at the top
    turn: Floats  # (N,) share of a whole turn, from behind counter-clockwise, 0 to 1
    actors: Ints  # (N,) row of drive.actors; -1 for all else


class SimulatedSweep:
    """Sweeps of one LiDAR, upright on the vehicle."""

    def __init__(self, drive: Drive, mount: LidarMount, beams: BeamTable | None = None) -> None:
        self.beams = beams or hdl64()
        azimuths: Doubles = np.arange(-FIELD_RAD, FIELD_RAD, self.beams.azimuth_step_rad)
        elevations = np.sort(np.asarray(self.beams.elevations_rad))
        ratio = np.tan(azimuths)
        self._grid = RayGrid(ratio, np.sqrt(1 + ratio**2), np.tan(elevations))
        pose = mount.vehicle_from_sensor
        self.view = View(drive, pose, np.eye(3), self._grid, self.beams.range_m, glass=1.0)
        self._turn = ((azimuths + np.pi) / (2 * np.pi)).astype(np.float32)
        stretched = self._grid.stretch[:, None] * self._grid.slope[None]
        self._ways = np.stack([np.ones_like(stretched), ratio[:, None] + 0 * stretched, stretched], axis=2)
        self._long = np.linalg.norm(self._ways, axis=2)

    def sweep(self, seconds: float, seed: int) -> Sweep:
        """The sweep whose middle is at `seconds`; `seed` decides noise and what is lost."""
        rng = np.random.default_rng(seed)
        axes_from_world = self.view.look(seconds, salt=seed & 0x7FFFFFFF)
        world_from_axes = axes_from_world.inverse()
        inverse, ids = self.view.surfaces.inverse, self.view.surfaces.ids
        height = world_from_axes.translation_m[2]
        fall = -(self._ways @ world_from_axes.rotation[2])
        down = np.maximum(fall, 1e-9) / height  # 1 / forward distance of the road
        on_road = (fall > 1e-6) & (down > inverse)
        near = np.where(on_road, down, inverse)
        u, v = np.nonzero(near > 0)
        forward = 1.0 / near[u, v]
        way, long, road = self._ways[u, v], self._long[u, v], on_road[u, v]
        distance = forward * long
        numbers = np.where(road, 0, ids[u, v])
        materials = np.where(road, self._ground_material(way, forward, world_from_axes), self.view.materials[numbers])
        sensor_normals = self.view.normals[numbers] @ axes_from_world.rotation.T.astype(np.float32)
        incidence = np.where(road, fall[u, v], np.abs((way * sensor_normals).sum(axis=1))) / long
        loss = table("lost")[materials] + 0.25 * np.clip(1 - incidence / 0.06, 0, 1)
        loss = loss + 0.15 * (np.minimum(distance, 99) / 100) ** 2
        kept = np.flatnonzero(
            (distance < self.beams.range_m) & (distance > CLOSEST_M) & (rng.random(len(distance)) > loss)
        )
        far = distance[kept] + rng.normal(0, self.beams.noise_m, len(kept))
        points = way[kept] * (far / long[kept])[:, None]
        facing = 0.4 + 0.6 * incidence[kept]
        bright = table("reflectance")[materials[kept]] * facing * rng.uniform(0.7, 1.3, len(kept))
        return Sweep(
            points.astype(np.float32),
            np.clip(bright, 0, 1).astype(np.float32),
            (len(self._grid.slope) - 1 - v[kept]).astype(np.int64),
            self._turn[u[kept]],
            np.where(road[kept], -1, self.view.actors[numbers[kept]]),
        )

    def _ground_material(self, way: Doubles, forward: Doubles, world_from_axes: Pose) -> Ints:
        """Road in the middle, grass beside."""
        y = (way * forward[:, None]) @ world_from_axes.rotation[1] + world_from_axes.translation_m[1]
        return np.where(np.abs(y) < 6.0, int(Material.ROAD), int(Material.GRASS))
