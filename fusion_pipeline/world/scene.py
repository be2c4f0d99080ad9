"""A moment of the world: things with boxes, the ground and what stands on it, and rays against all of it.

    scene = street(seed)                      # streets.py; the same seed gives the same bytes
    later = scene.at(0.1)                     # every thing moved on by its velocity
    hits = RayCaster(scene).cast(origins, directions)   # distance, normal, material, instance per ray

Frame: x forward, y left, z up, origin on the ground under the LiDAR; metres, radians, seconds. A `Thing` owns its
mesh in its own frame (standing on z = 0); `instance` of a hit is the index into `scene.things`, or -1 for what is
static. Class names are those of the models: car, truck, pedestrian, two-wheeler, other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats, Ints
from fusion_pipeline.world.meshes import Mesh

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """Something with a box."""

    label: int  # index into CLASSES
    kind: str  # the body it was made from: "sedan", "van", "bus"
    base_m: tuple[float, float, float]  # middle of the footprint, on the ground
    size_m: tuple[float, float, float]  # length, width, height
    yaw_rad: float
    velocity_mps: tuple[float, float]
    mesh: Mesh  # in its own frame

    def at(self, seconds: float) -> Thing:
        """Moved straight on."""
        x, y, z = self.base_m
        vx, vy = self.velocity_mps
        return replace(self, base_m=(x + vx * seconds, y + vy * seconds, z))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Things and static surroundings."""

    things: tuple[Thing, ...]
    static: Mesh

    def at(self, seconds: float) -> Scene:
        """The scene `seconds` later."""
        return replace(self, things=tuple(thing.at(seconds) for thing in self.things))

    @property
    def boxes(self) -> Doubles:
        """(N, 9) x y z (centre) l w h yaw vx vy."""
        rows = [
            (*t.base_m[:2], t.base_m[2] + t.size_m[2] / 2, *t.size_m, t.yaw_rad, *t.velocity_mps) for t in self.things
        ]
        return np.asarray(rows, np.float64).reshape(-1, 9)

    @property
    def labels(self) -> Ints:
        """(N,) index into CLASSES."""
        return np.asarray([t.label for t in self.things], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What R rays met."""

    distance_m: Floats  # (R,) inf where nothing
    normals: Floats  # (R, 3)
    materials: Ints  # (R,)
    instances: Ints  # (R,) index into scene.things; -1 static or nothing


class RayCaster:
    """Casts rays into one scene."""

    def __init__(self, scene: Scene) -> None:
        import open3d as o3d

        self._o3d = o3d
        meshes = [scene.static] + [t.mesh.placed(t.base_m, t.yaw_rad) for t in scene.things]
        whole = Mesh.join(meshes)
        self._materials = np.append(whole.materials, 0).astype(np.int64)
        owners = np.repeat(np.arange(-1, len(scene.things)), [len(m.triangles) for m in meshes])
        self._owners = np.append(owners, -1)
        self._caster = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._caster.add_triangles(
            o3d.core.Tensor.from_numpy(whole.vertices_m), o3d.core.Tensor.from_numpy(whole.triangles)
        )

    def cast(self, origins_m: Floats, directions: Floats) -> Hits:
        """First hits of R rays from origins (R, 3) along unit directions (R, 3)."""
        rays = np.concatenate([origins_m, directions], axis=1).astype(np.float32)
        found = self._caster.cast_rays(self._o3d.core.Tensor.from_numpy(rays), nthreads=1)
        distance = found["t_hit"].numpy()
        rows = np.where(np.isfinite(distance), found["primitive_ids"].numpy().astype(np.int64), -1)
        return Hits(distance, found["primitive_normals"].numpy(), self._materials[rows], self._owners[rows])
