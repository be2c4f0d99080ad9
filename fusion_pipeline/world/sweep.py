"""A LiDAR in a drive: one sweep, of a field ahead or all round, at one instant or rolling.

At one instant, points lie where things are in the middle of the sweep, as if it had been corrected for all motion
within it. A rolling sweep is drawn in steps of at most 30 degrees, each with the world as it is in the middle of its
own stretch of time, and each point is moved on to its own firing by the speed of what it lies on and the vehicle's:
what is left is the change of speed within 4 ms. `offset_ns` tells in both cases when a point was fired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion_pipeline.arrays import Doubles, Floats, Ints
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.beams import BeamTable, hdl64
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.materials import Material, table
from fusion_pipeline.world.returns import Echoes, second_echoes
from fusion_pipeline.world.surfaces import RayGrid
from fusion_pipeline.world.view import SCENERY, View
from fusion_pipeline.world.weather import CLEAR, NEAR_ECHO_M, Weather

FIELD_RAD = float(np.deg2rad(75.0))  # to both sides of ahead: what the network looks at
WIDEST_RAD, ROLLING_RAD = float(np.deg2rad(160.0)), float(np.deg2rad(30.0))  # of one face of the drawing
ROUND_FACES = 4
CLOSEST_M = 0.9
TURN_S = 0.1
ROAD_HALF_M = 6.0
ROAD, GRASS = int(Material.ROAD), int(Material.GRASS)
REFLECTANCE_AT_RANGE = 0.1  # a sensor's range is stated for targets of 10 %


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """N points in the sensor's frame."""

    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,) 0 to 1
    ring: Ints  # (N,) beam, 0 at the top
    turn: Floats  # (N,) share of a whole turn, from behind counter-clockwise, 0 to 1
    actors: Ints  # (N,) row of drive.actors; -1 for all else


@dataclass(frozen=True, slots=True)
class Roof:
    """The vehicle's own roof, in the sensor's axes: beams that meet it bring nothing back."""

    below_m: float
    ahead_m: float
    behind_m: float
    half_width_m: float


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """One piece of the field, drawn as a plane."""

    view: View
    panes: View | None  # with all panes closed, where second returns are wanted
    turn: Floats  # (W,) share of a whole turn of each column
    middle: float  # of them
    axes_from_sensor: Doubles  # (3, 3)


class SimulatedSweep:
    """Sweeps of one LiDAR, upright on the vehicle."""

    def __init__(
        self, drive: Drive, mount: LidarMount, beams: BeamTable | None = None, field_rad: float = FIELD_RAD,
        rolling: bool = False, noisy: bool = True, weather: Weather = CLEAR, glass: float = 1.0,
        roof: Roof | None = None, returns: int = 1,
    ) -> None:  # fmt: skip
        """`field_rad` to both sides of ahead, pi all round; without `noisy` nothing is lost and ranges are exact.

        `glass` 0 lets panes stop every beam. `returns` 2 reports the second echo of beams that have two.
        """
        self.beams, self._glass, self._roof = beams or hdl64(), glass, roof
        if returns not in (1, 2):
            raise ValueError(f"a beam has 1 or 2 returns, not {returns}")
        self._returns = returns
        self.drive, self._rolling, self._noisy, self._weather = drive, rolling, noisy, weather
        order = np.argsort(np.asarray(self.beams.elevations_rad))
        brightness = self.beams.brightness or (0.0,) * len(order)
        self._brightness = np.asarray(brightness, np.float64)[order]
        elevations = np.sort(np.asarray(self.beams.elevations_rad))
        azimuths: Doubles = np.arange(-field_rad, field_rad - 1e-9, self.beams.azimuth_step_rad)
        widest = ROLLING_RAD if rolling else WIDEST_RAD
        count = 1 if 2 * field_rad <= widest else max(ROUND_FACES, int(np.ceil(2 * field_rad / widest)))
        share = 2 * field_rad / count
        self._faces = tuple(
            self._face(mount, azimuths[piece], -field_rad + share * (number + 0.5), elevations)
            for number in range(count)
            if len(piece := np.flatnonzero(np.floor((azimuths + field_rad) / share).astype(int) == number))
        )
        self.view = self._faces[len(self._faces) // 2].view
        self._mount = mount
        self._reflectance, self._lost = table("reflectance"), table("lost")

    def sweep(self, seconds: float, seed: int) -> Sweep:
        """The sweep whose middle is at `seconds`; `seed` decides noise and what is lost."""
        rng = np.random.default_rng(seed)
        parts = [self._part(face, seconds, rng, seed & 0x7FFFFFFF) for face in self._faces]
        if len(parts) == 1:
            return parts[0]
        return Sweep(*(np.concatenate([getattr(part, name) for part in parts]) for name in Sweep.__slots__))

    def _face(self, mount: LidarMount, azimuths: Doubles, middle: float, elevations: Doubles) -> _Face:
        ratio = np.tan(azimuths - middle)
        grid = RayGrid(ratio, np.sqrt(1 + ratio**2), np.tan(elevations))
        c, s = np.cos(middle), np.sin(middle)
        turn = np.asarray([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
        view = View(self.drive, mount.vehicle_from_sensor, turn, grid, self.beams.range_m, self._glass)
        closed = (
            View(self.drive, mount.vehicle_from_sensor, turn, grid, self.beams.range_m) if self._returns > 1 else None
        )
        return _Face(
            view, closed, ((azimuths + np.pi) / (2 * np.pi)).astype(np.float32), (middle + np.pi) / (2 * np.pi), turn
        )

    def _part(self, face: _Face, seconds: float, rng: np.random.Generator, salt: int) -> Sweep:
        at = seconds + (face.middle - 0.5) * TURN_S if self._rolling else seconds
        view, surfaces = face.view, face.view.surfaces
        axes_from_world = view.look(at, salt)
        world_from_axes = axes_from_world.inverse()
        shape = surfaces.inverse.shape
        chance = rng.random((3, *shape), np.float32)
        bell = rng.standard_normal(shape, np.float32)
        size = shape[0] * shape[1]
        xyz, light = np.empty((size, 3), np.float32), np.empty(size, np.float32)
        column, beam, triangle = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
        kept = _shoot(
            surfaces.inverse, surfaces.ids, surfaces.grid.ratio, surfaces.grid.stretch, surfaces.grid.slope,
            np.ascontiguousarray(world_from_axes.rotation), world_from_axes.translation_m, view.normals, view.materials,
            self._reflectance, self._lost, self.beams.range_m, self.beams.noise_m, self._noisy,
            self._weather.extinction_per_m, self._weather.noise_share, self.drive.level, self._brightness,
            self.beams.fade, chance, bell, xyz, light, column, beam, triangle,
        )  # fmt: skip
        echoes = Echoes(*(part[:kept] for part in (xyz, light, column, beam, triangle)))
        if face.panes is not None:
            face.panes.look(at, salt)
            closed = face.panes.surfaces
            extra = second_echoes(echoes, surfaces.grid, self.beams.divergence_rad, self.beams.azimuth_step_rad,
                                  closed.inverse, closed.ids.astype(np.int64), rng)  # fmt: skip
            echoes = echoes.joined(extra)
        if self._roof is not None:
            free = np.flatnonzero(~_over(self._roof, echoes.xyz_m @ face.axes_from_sensor))
            echoes = Echoes(*(getattr(echoes, name)[free] for name in Echoes.__slots__))
        triangle, light = echoes.triangle, echoes.light
        actors = np.where(triangle >= 0, view.actors[np.maximum(triangle, 0)], SCENERY)
        turn = face.turn[echoes.column]
        points = echoes.xyz_m @ face.axes_from_sensor.astype(np.float32)
        if self._rolling:
            points = self._moved_on(points, actors, (turn - np.float32(face.middle)) * np.float32(TURN_S), at)
        return Sweep(points, light, shape[1] - 1 - echoes.beam, turn, actors)

    def _moved_on(self, points: Floats, actors: Ints, after_s: Floats, at: float) -> Floats:
        """Points as the sensor meets them `after_s` later than they were drawn."""
        ego = self.drive.ego.at(at)
        pose = self._mount.vehicle_from_sensor
        sensor_from_world = (ego.world_from_body @ pose).rotation.T
        arm = ego.yaw_rate_rps * np.asarray([-pose.translation_m[1], pose.translation_m[0], 0.0])
        own = ego.velocity_mps + ego.world_from_body.rotation @ arm
        spin = np.asarray([0, 0, ego.yaw_rate_rps]) @ pose.rotation
        seen = np.unique(actors[actors >= 0])
        speeds = np.zeros((len(self.drive.actors) + 1, 3))
        speeds[seen] = [self.drive.actors[number].track.at(at).velocity_mps for number in seen] or np.zeros((0, 3))
        relative = (speeds[actors] - own) @ sensor_from_world.T - np.cross(spin, points)
        return (points + relative * after_s[:, None]).astype(np.float32)


def _over(roof: Roof, points: Doubles) -> NDArray[np.bool_]:
    """(N,) whether the way to a point in the sensor's axes meets the roof."""
    below = -points[:, 2]
    share = roof.below_m / np.maximum(below, 1e-9)
    x, y = points[:, 0] * share, points[:, 1] * share
    inside = (x < roof.ahead_m) & (x > -roof.behind_m) & (np.abs(y) < roof.half_width_m)
    return np.asarray(inside & (below > roof.below_m), np.bool_)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shoot(
    inverse: Any, ids: Any, ratio: Any, stretch: Any, slope: Any, turn: Any, eye: Any, normals: Any, materials: Any,
    reflectance: Any, lost: Any, reach: float, noise: float, noisy: bool, extinction: float, rain_noise: float,
    level: bool, brightness: Any, fade: float, chance: Any, bell: Any, xyz: Any, light: Any, column: Any, beam: Any,
    triangle: Any,
) -> int:  # fmt: skip
    """Echoes of all rays, one after another; how many there are."""
    count = 0
    for u in range(len(ratio)):
        for v in range(len(slope)):
            wy, wz = ratio[u], stretch[u] * slope[v]
            long = np.sqrt(1.0 + wy * wy + wz * wz)
            fall = -(turn[2, 0] + turn[2, 1] * wy + turn[2, 2] * wz)
            road = fall / eye[2] if level and fall > 1e-6 else 0.0
            near, number = inverse[u, v], np.int64(ids[u, v])
            if road > near:
                near, number = road, np.int64(-1)
                across = eye[1] + (turn[1, 0] + turn[1, 1] * wy + turn[1, 2] * wz) / near
                material = ROAD if abs(across) < ROAD_HALF_M else GRASS
                incidence = fall / long
            elif near > 0:
                material = materials[number]
                x = turn[0, 0] + turn[0, 1] * wy + turn[0, 2] * wz
                y = turn[1, 0] + turn[1, 1] * wy + turn[1, 2] * wz
                incidence = abs(x * normals[number, 0] + y * normals[number, 1] - fall * normals[number, 2]) / long
            else:
                continue
            distance = long / near
            if distance >= reach or distance <= CLOSEST_M:
                continue
            bright = reflectance[material] * (0.4 + 0.6 * incidence)
            if noisy:
                loss = lost[material] + 0.25 * min(max(1.0 - incidence / 0.06, 0.0), 1.0)
                loss += 0.15 * (min(distance, 99.0) / 100.0) ** 2
                if chance[0, u, v] < loss:
                    continue
                bright *= 0.7 + 0.6 * chance[1, u, v]
                if extinction > 0:
                    bright *= np.exp(-2.0 * extinction * distance)
                    if bright * reach * reach < REFLECTANCE_AT_RANGE * distance * distance:
                        # What droplets near by throw back is all there is.
                        if chance[2, u, v] >= 1.0 - np.exp(-extinction * NEAR_ECHO_M):
                            continue
                        distance = CLOSEST_M - NEAR_ECHO_M / 3.0 * np.log(1.0 - chance[1, u, v])
                        number, bright = np.int64(-1), 0.02
                bright += brightness[v] - fade * (distance / 50.0) ** 2
                distance += noise * bell[u, v] + rain_noise * distance * bell[u, v]
            scale = distance / long
            xyz[count, 0], xyz[count, 1], xyz[count, 2] = scale, wy * scale, wz * scale
            light[count] = min(max(bright, 0.0), 1.0)
            column[count], beam[count], triangle[count] = u, v, number
            count += 1
    return count
