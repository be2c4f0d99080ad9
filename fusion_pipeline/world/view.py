"""What a sensor of the driving vehicle sees: the drive's bodies drawn into a grid of rays, nearest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.world.bodies import sway_of
from fusion_pipeline.world.drive import Body, Drive
from fusion_pipeline.world.materials import table
from fusion_pipeline.world.meshes import Mesh
from fusion_pipeline.world.motion import Herd, State, nearest_image, nearest_images
from fusion_pipeline.world.surfaces import RayGrid, Surfaces, spheres_of

BLOCK_M = 20.0  # scenery is drawn in blocks of this length of street
SCENERY = -1
STRIDE_HZ, STROLL_MPS = 0.95, 1.0  # two steps of a walker (1.9 steps/s, Pachi and Ji 2005); slower ones reach less far
SLACK_M = 5.0  # how far anything gets in half a turn of a LiDAR


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Triangles that move together; `first` is the number of the first of them."""

    corners_m: Floats  # (T, 3, 3) in the body's frame; of scenery, x from `middle_m` on
    spheres: Doubles  # (R, 4) round runs of them
    passes: Floats  # (T,)
    first: int
    actor: int  # row of drive.actors, or SCENERY
    middle_m: float
    radius_m: float
    bound_m: float  # no corner is farther from the origin
    sway_m: Floats | None = None  # (T, 3) how far ahead each corner swings when its owner walks; None: nothing does

    def stepping(self, state: State, seconds: float) -> Floats:
        """The corners as they are in mid-walk: limbs swing once to and fro in two steps, together while one stands."""
        if self.sway_m is None:
            return self.corners_m
        pace = min(float(np.hypot(state.velocity_mps[0], state.velocity_mps[1])) / STROLL_MPS, 1.0)
        swing = pace * np.cos(2 * np.pi * (seconds * STRIDE_HZ + 0.37 * self.actor))
        corners = self.corners_m.copy()
        corners[:, :, 0] += np.float32(swing - 1.0) * self.sway_m
        return corners


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The vehicle and a view's sensor at one time of the drive."""

    seconds: float
    ego: State
    world_from_vehicle: Pose
    axes_from_world: Pose


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
        self._blocks = [part for part in self._parts if part.actor == SCENERY]
        self._bodies = [part for part in self._parts if part.actor != SCENERY]  # in the order of drive.actors
        self._middles_m: Doubles = np.asarray([part.middle_m for part in self._blocks], np.float64)
        self._block_bounds, self._bounds = (
            np.asarray([max(part.bound_m, part.radius_m) for part in parts], np.float64)
            for parts in (self._blocks, self._bodies)
        )
        self._herd: Herd | None = None  # of those views alone that are asked where all are
        self._moment: Moment | None = None  # the last that was asked for
        self.moment: Moment  # of the last look
        self.drawn: dict[int, State] = {}  # actors that were in the field at the last look
        self.materials: Ints = np.concatenate([body.mesh.materials for body in bodies]).astype(np.int64)
        self.colours: Floats = np.concatenate([body.colours for body in bodies])
        self.actors: Ints = np.repeat([p.actor for p in self._parts], [len(p.corners_m) for p in self._parts])
        corners = np.concatenate([part.corners_m for part in self._parts]).astype(np.float64)
        self.owners: Ints = np.append(self.actors, SCENERY)  # the same, with an end for the triangle -1
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        self._own_normals = normal
        self.normals: Floats = normal.astype(np.float32)  # (T, 3) in the world, as of the last `look`

    def look(self, seconds: float, salt: int = 0, only: Collection[int] | None = None) -> Pose:
        """Draw the drive as it is at `seconds`; the result is in `surfaces`. Gives axes_from_world of the sensor.

        `only`: the actors that can be in the field, where the caller knows.
        """
        if only is None:
            only = self.in_field(self.places(seconds), seconds, SLACK_M).tolist()
        return self.look_from(seconds, self.at(seconds).axes_from_world.inverse(), salt, only)

    def look_from(
        self, seconds: float, world_from_axes: Pose, salt: int = 0, only: Collection[int] | None = None
    ) -> Pose:
        """The same from any place; things of a ring street are drawn where they are nearest to the vehicle."""
        self.moment = moment = self.at(seconds)
        axes_from_world = world_from_axes.inverse()
        self.surfaces.clear()
        self._draw_scenery(float(moment.ego.position_m[0]), axes_from_world, salt)
        self.drawn = {}
        for actor in range(len(self._bodies)) if only is None else sorted(only):
            state, part = self.drive.actors[actor].track.at(seconds), self._bodies[actor]
            turn = self._draw_actor(part, state, moment, axes_from_world, self.surfaces, salt)
            if turn is not None:
                rows = slice(part.first, part.first + len(part.corners_m))
                self.normals[rows] = self._own_normals[rows] @ turn.T
                self.drawn[actor] = state
        return axes_from_world

    def at(self, seconds: float) -> Moment:
        """The vehicle and the sensor at `seconds`; the last moment is remembered."""
        if self._moment is None or self._moment.seconds != seconds:
            ego = self.drive.ego.at(seconds)
            world_from_vehicle = ego.world_from_body
            self._moment = Moment(seconds, ego, world_from_vehicle, self._axes_from_world(world_from_vehicle))
        return self._moment

    def places(self, seconds: float) -> Doubles:
        """(N, 3) of all actors as a `Herd` knows them, where they are nearest to the vehicle."""
        if self._herd is None:
            self._herd = Herd([actor.track for actor in self.drive.actors])
        places, x = self._herd.at(seconds), self.at(seconds).ego.position_m[0]
        places[:, 0] = x + nearest_images(places[:, 0] - x, self.drive.ring_m)
        return places

    def in_field(self, places_m: Doubles, seconds: float, slack_m: float) -> Ints:
        """Actors at `places_m` (N, 3) that may be in the field at `seconds`, or within `slack_m` of it."""
        return self._within(places_m, self._bounds + slack_m, self.at(seconds).axes_from_world)

    def look_at(self, actor: int, into: Surfaces) -> None:
        """Add one of the actors that were `drawn` to what `into` has, as if alone; `surfaces` stays as it is."""
        moment, part = self.moment, self._bodies[actor]
        self._draw_actor(part, self.drawn[actor], moment, moment.axes_from_world, into, 0)

    def _within(self, places_m: Doubles, bounds_m: Doubles, axes_from_world: Pose) -> Ints:
        """Rows of `places_m` (N, 3) about which `bounds_m` (N,) reach into the field."""
        local = axes_from_world.apply(places_m)
        near = (local[:, :2] @ self._edges.T <= bounds_m[:, None]).all(axis=1)
        near &= (local[:, 0] > -bounds_m) & (local[:, 0] < self._reach_m + bounds_m)
        return np.flatnonzero(near)

    def _draw_scenery(self, ego_x: float, axes_from_world: Pose, salt: int) -> None:
        places = np.zeros((len(self._blocks), 3))
        places[:, 0] = ego_x + nearest_images(self._middles_m - ego_x, self.drive.ring_m)
        for number in self._within(places, self._block_bounds + 1e-2, axes_from_world).tolist():
            block = self._blocks[number]
            self._draw(block, places[number], 0.0, axes_from_world, self.surfaces, salt, block.corners_m)

    def _draw_actor(
        self, part: _Part, state: State, moment: Moment, axes_from_world: Pose, into: Surfaces, salt: int
    ) -> Doubles | None:
        x = moment.ego.position_m[0]
        at = state.position_m.copy()
        at[0] = x + nearest_image(float(at[0] - x), self.drive.ring_m)
        return self._draw(part, at, state.yaw_rad, axes_from_world, into, salt, part.stepping(state, moment.seconds))

    def _draw(
        self, part: _Part, at: Doubles, yaw: float, axes_from_world: Pose, into: Surfaces, salt: int, corners: Floats
    ) -> Doubles | None:
        """Draw a part that may be in the field; its turn, None where it cannot be seen."""
        translation = axes_from_world.rotation @ at + axes_from_world.translation_m
        forward, sideways, _ = translation.tolist()
        if not -part.radius_m < forward < self._reach_m + part.radius_m:
            return None
        (a, b), (c, d) = self._sides
        if a * forward + b * sideways > part.bound_m + 1e-3 or c * forward + d * sideways > part.bound_m + 1e-3:
            return None
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.asarray([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        rotation = axes_from_world.rotation @ turn
        into.draw(corners, rotation, translation, part.first, part.passes, salt, part.spheres)
        return turn

    def _axes_from_world(self, world_from_vehicle: Pose) -> Pose:
        """Where the grid's rays start and point, in the world."""
        outer, inner, turn = world_from_vehicle, self._vehicle_from_sensor, self._axes_from_sensor
        rotation, place = outer.rotation @ inner.rotation, outer.rotation @ inner.translation_m + outer.translation_m
        return Pose(turn @ rotation.T.copy(), turn @ (-rotation.T @ place))


def _parts(drive: Drive, passes: Floats) -> tuple[list[_Part], list[Body]]:
    parts: list[_Part] = []
    bodies: list[Body] = []
    first = 0

    def add(
        corners: Floats, body: Body, actor: int, middle: float, radius: float, sway: Floats | None = None
    ) -> None:  # fmt: skip
        nonlocal first
        bound = float(np.linalg.norm(corners, axis=2).max())
        corners, spheres = np.ascontiguousarray(corners), spheres_of(corners)
        if sway is not None:
            spheres[:, 3] += 2 * np.abs(sway).max()  # from one end of the swing to the other
        parts.append(
            _Part(corners, spheres, passes[body.mesh.materials], first, actor, middle, radius, bound, sway)
        )  # fmt: skip
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
        sway = sway_of(actor.kind, mesh)
        swings = None if sway is None else np.ascontiguousarray(sway[mesh.triangles])
        add(mesh.vertices_m[mesh.triangles], actor.body, row, 0.0, max(actor.size_m), swings)
    return parts, bodies


def _take(body: Body, rows: Array) -> Body:
    mesh = body.mesh
    return Body(Mesh(mesh.vertices_m, mesh.triangles[rows], mesh.materials[rows]), body.colours[rows])
