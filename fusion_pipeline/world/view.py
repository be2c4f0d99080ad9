"""What a sensor of the driving vehicle sees: the drive's bodies drawn into a grid of rays, nearest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.world.drive import Body, Drive
from fusion_pipeline.world.materials import table
from fusion_pipeline.world.meshes import Mesh
from fusion_pipeline.world.motion import State, nearest_image
from fusion_pipeline.world.surfaces import RayGrid, Surfaces

BLOCK_M = 20.0  # scenery is drawn in blocks of this length of street
SCENERY = -1
SLACK_M = 5.0  # how far anything gets in half a turn of a LiDAR


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Triangles that move together; `first` is the number of the first of them."""

    corners_m: Floats  # (T, 3, 3) in the body's frame; of scenery, x from `middle_m` on
    passes: Floats  # (T,)
    first: int
    actor: int  # row of drive.actors, or SCENERY
    middle_m: float
    radius_m: float
    bound_m: float  # no corner is farther from the origin


class View:
    """One sensor's view of a drive.

    `axes_from_sensor` (3, 3) turns the sensor's axes into the grid's: forward, sideways, upright.
    """

    def __init__(
        self, drive: Drive, vehicle_from_sensor: Pose, axes_from_sensor: Doubles, grid: RayGrid, reach_m: float,
        glass: float = 0.0,
    ) -> None:  # fmt: skip
        """`glass` times the materials' own share of beams go through panes; a camera sees their surface: 0."""
        self.drive = drive
        self.surfaces = Surfaces(grid, reach_m)
        self._vehicle_from_sensor = vehicle_from_sensor
        self._axes_from_sensor = axes_from_sensor
        self._reach_m = reach_m
        sides: Doubles = np.asarray([[-grid.ratio[-1], 1.0], [grid.ratio[0], -1.0]])
        self._edges: Doubles = sides / np.linalg.norm(sides, axis=1, keepdims=True)  # how far beyond the field
        self._sides: tuple[tuple[float, float], ...] = tuple((float(a), float(b)) for a, b in self._edges)
        passes = table("passes") * np.float32(glass)
        self._parts, bodies = _parts(drive, passes)
        self._parts_of: dict[int, list[_Part]] = {}
        for part in self._parts:
            self._parts_of.setdefault(part.actor, []).append(part)
        self._bounds: Doubles = np.asarray(
            [max((part.bound_m for part in self._parts_of.get(n, ())), default=0.0) for n in range(len(drive.actors))]
        )
        self.materials: Ints = np.concatenate([body.mesh.materials for body in bodies]).astype(np.int64)
        self.colours: Floats = np.concatenate([body.colours for body in bodies])
        self.actors: Ints = np.repeat([p.actor for p in self._parts], [len(p.corners_m) for p in self._parts])
        corners = np.concatenate([part.corners_m for part in self._parts]).astype(np.float64)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        self._own_normals = normal
        self.normals: Floats = normal.astype(np.float32)  # (T, 3) in the world, as of the last `look`

    def look(self, seconds: float, salt: int = 0, only: Collection[int] | None = None) -> Pose:
        """Draw the drive as it is at `seconds`; the result is in `surfaces`. Gives axes_from_world of the sensor.

        `only`: the actors that can be in the field, where the caller knows.
        """
        axes_from_world = self.axes_from_world(self.drive.ego.at(seconds).world_from_body)
        return self.look_from(seconds, axes_from_world.inverse(), salt, only)

    def look_from(
        self, seconds: float, world_from_axes: Pose, salt: int = 0, only: Collection[int] | None = None
    ) -> Pose:
        """The same from any place; things of a ring street are drawn where they are nearest to the vehicle."""
        ego = self.drive.ego.at(seconds)
        axes_from_world = world_from_axes.inverse()
        self.surfaces.clear()
        for part in self._parts:
            if part.actor == SCENERY:
                x = ego.position_m[0] + nearest_image(part.middle_m - float(ego.position_m[0]), self.drive.ring_m)
                at, yaw = np.asarray([x, 0.0, 0.0]), 0.0
            elif only is not None and part.actor not in only:
                continue
            else:
                at, yaw = self._place(part.actor, seconds, ego)
            turn = self._draw(part, at, yaw, axes_from_world, self.surfaces, salt)
            if turn is not None and part.actor != SCENERY:
                rows = slice(part.first, part.first + len(part.corners_m))
                self.normals[rows] = self._own_normals[rows] @ turn.T
        return axes_from_world

    def places(self, seconds: float) -> Doubles:
        """(N, 3) of all actors, where they are nearest to the vehicle."""
        ego = self.drive.ego.at(seconds)
        places = [self._place(actor, seconds, ego)[0] for actor in range(len(self.drive.actors))]
        return np.asarray(places, np.float64).reshape(-1, 3)

    def in_field(self, places_m: Doubles, seconds: float, slack_m: float) -> Ints:
        """Actors at `places_m` (N, 3) that may be in the field at `seconds`, or within `slack_m` of it."""
        axes_from_world = self.axes_from_world(self.drive.ego.at(seconds).world_from_body)
        local = axes_from_world.apply(places_m)
        near = (local[:, :2] @ self._edges.T <= self._bounds[:, None] + slack_m).all(axis=1)
        near &= (local[:, 0] > -self._bounds) & (local[:, 0] < self._reach_m + self._bounds)
        return np.flatnonzero(near)

    def look_at(self, actor: int, seconds: float, into: Surfaces) -> bool:
        """Draw one actor as if it were alone; whether it is in the field at all. `surfaces` stays as it is."""
        ego = self.drive.ego.at(seconds)
        axes_from_world = self.axes_from_world(ego.world_from_body)
        into.clear()
        at, yaw = self._place(actor, seconds, ego)
        drawn = [self._draw(part, at, yaw, axes_from_world, into, 0) for part in self._parts_of.get(actor, ())]
        return any(turn is not None for turn in drawn) and bool((into.ids >= 0).any())

    def _place(self, actor: int, seconds: float, ego: State) -> tuple[Doubles, float]:
        state = self.drive.actors[actor].track.at(seconds)
        at = state.position_m.copy()
        at[0] = ego.position_m[0] + nearest_image(float(at[0] - ego.position_m[0]), self.drive.ring_m)
        return at, state.yaw_rad

    def _draw(
        self, part: _Part, at: Doubles, yaw: float, axes_from_world: Pose, into: Surfaces, salt: int
    ) -> Doubles | None:
        """Draw a part that may be in the field; its turn, None where it cannot be seen."""
        forward = float(axes_from_world.rotation[0] @ at + axes_from_world.translation_m[0])
        if not -part.radius_m < forward < self._reach_m + part.radius_m:
            return None
        sideways = float(axes_from_world.rotation[1] @ at + axes_from_world.translation_m[1])
        (a, b), (c, d) = self._sides
        if a * forward + b * sideways > part.bound_m + 1e-3 or c * forward + d * sideways > part.bound_m + 1e-3:
            return None
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.asarray([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        rotation = axes_from_world.rotation @ turn
        translation = axes_from_world.rotation @ at + axes_from_world.translation_m
        into.draw(part.corners_m, rotation, translation, part.first, part.passes, salt)
        return turn

    def axes_from_world(self, world_from_vehicle: Pose) -> Pose:
        """Where the grid's rays start and point, in the world."""
        sensor_from_world = (world_from_vehicle @ self._vehicle_from_sensor).inverse()
        turn = self._axes_from_sensor
        return Pose(turn @ sensor_from_world.rotation, turn @ sensor_from_world.translation_m)


def _parts(drive: Drive, passes: Floats) -> tuple[list[_Part], list[Body]]:
    parts: list[_Part] = []
    bodies: list[Body] = []
    first = 0

    def add(corners: Floats, body: Body, actor: int, middle: float, radius: float) -> None:
        nonlocal first
        bound = float(np.linalg.norm(corners, axis=2).max())
        corners = np.ascontiguousarray(corners)
        parts.append(_Part(corners, passes[body.mesh.materials], first, actor, middle, radius, bound))
        bodies.append(body)
        first += len(corners)

    whole = drive.scenery
    corners = whole.mesh.vertices_m[whole.mesh.triangles]
    block = np.floor(corners[:, :, 0].mean(axis=1) / BLOCK_M).astype(np.int64)
    for number in np.unique(block):
        rows = np.flatnonzero(block == number)
        middle = (float(number) + 0.5) * BLOCK_M
        moved = corners[rows] - np.asarray([middle, 0, 0], np.float32)
        add(moved, _take(whole, rows), SCENERY, middle, float(np.abs(moved).max()) * 1.5)
    for row, actor in enumerate(drive.actors):
        mesh = actor.body.mesh
        add(mesh.vertices_m[mesh.triangles], actor.body, row, 0.0, max(actor.size_m))
    return parts, bodies


def _take(body: Body, rows: Array) -> Body:
    mesh = body.mesh
    return Body(Mesh(mesh.vertices_m, mesh.triangles[rows], mesh.materials[rows]), body.colours[rows])
