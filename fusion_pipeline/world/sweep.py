"""A LiDAR in a drive: one sweep, of a field ahead or all round, at one instant or rolling.

At one instant, points lie where things are in the middle of the sweep, as if it had been corrected for all motion
within it. A rolling sweep is drawn in steps of at most 30 degrees, each with the world as it is in the middle of its
own stretch of time, and each point is moved on to its own firing by the speed of what it lies on and the vehicle's:
what is left is the change of speed within 4 ms. `offset_ns` tells in both cases when a point was fired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Doubles, Floats, Ints
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.beams import BeamTable, hdl64
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.materials import OPTICS, Material, table
from fusion_pipeline.world.returns import Echoes, second_echoes
from fusion_pipeline.world.shots import UNPUBLISHED, Published, move_on, shoot
from fusion_pipeline.world.surfaces import RayGrid
from fusion_pipeline.world.view import SLACK_M, View
from fusion_pipeline.world.weather import CLEAR, Weather

FIELD_RAD = float(np.deg2rad(75.0))  # to both sides of ahead: what the network looks at
WIDEST_RAD, ROLLING_RAD = float(np.deg2rad(160.0)), float(np.deg2rad(30.0))  # of one face of the drawing
ROUND_FACES = 4
TURN_S = 0.1
EACH_PANE = -1  # salt with which a pane lets all beams pass, or none


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
        figures = self.beams.statistics
        self._published = UNPUBLISHED if figures is None else Published.of(figures, order)
        if figures is not None:
            self._glass *= figures.pane_passes / OPTICS[Material.GLASS].passes
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
        panes = seed & 0x7FFFFFFF if self.beams.statistics is None else EACH_PANE
        # Of a rolling sweep's many faces each sees few: where all are halfway is near enough to know which.
        places = self.view.places(seconds) if self._rolling else None
        parts = [self._part(face, seconds, rng, panes, places) for face in self._faces]
        if len(parts) == 1:
            return parts[0]
        return Sweep(*(np.concatenate([getattr(part, name) for part in parts]) for name in Sweep.__slots__))

    @property
    def views(self) -> list[View]:
        """What the last sweep was drawn in."""
        return [face.view for face in self._faces]

    def _time(self, face: _Face, seconds: float) -> float:
        return seconds + (face.middle - 0.5) * TURN_S if self._rolling else seconds

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

    def _part(self, face: _Face, seconds: float, rng: np.random.Generator, salt: int, places: Doubles | None) -> Sweep:
        at = self._time(face, seconds)
        view, surfaces = face.view, face.view.surfaces
        only = None if places is None else set(view.in_field(places, at, SLACK_M).tolist())
        axes_from_world = view.look(at, salt, only)
        world_from_axes = axes_from_world.inverse()
        shape = surfaces.inverse.shape
        chance = rng.random((3, *shape), np.float32)
        bell = rng.standard_normal(shape, np.float32)
        size = shape[0] * shape[1]
        xyz, light = np.empty((size, 3), np.float32), np.empty(size, np.float32)
        column, beam, triangle = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
        figures = self._published
        kept = shoot(
            surfaces.inverse, surfaces.ids, surfaces.grid.ratio, surfaces.grid.stretch, surfaces.grid.slope,
            np.ascontiguousarray(world_from_axes.rotation), world_from_axes.translation_m, view.normals, view.materials,
            self._reflectance, self._lost, self.beams.range_m, self.beams.noise_m, self._noisy,
            self._weather.extinction_per_m, self._weather.noise_share, self.drive.level, self._brightness,
            self.beams.fade, figures.lost, figures.light, figures.spread, chance, bell, xyz, light, column, beam,
            triangle,
        )  # fmt: skip
        echoes = Echoes(*(part[:kept] for part in (xyz, light, column, beam, triangle)))
        if face.panes is not None:
            face.panes.look(at, salt, only)
            closed = face.panes.surfaces
            extra = second_echoes(echoes, surfaces.grid, self.beams.divergence_rad, self.beams.azimuth_step_rad,
                                  closed.inverse, closed.ids.astype(np.int64), rng)  # fmt: skip
            echoes = echoes.joined(extra)
        if self._roof is not None:
            free = np.flatnonzero(~_over(self._roof, echoes.xyz_m @ face.axes_from_sensor))
            echoes = Echoes(*(getattr(echoes, name)[free] for name in Echoes.__slots__))
        actors = view.owners[echoes.triangle]
        turn = face.turn[echoes.column]
        points = echoes.xyz_m @ face.axes_from_sensor.astype(np.float32)
        if self._rolling:
            self._move_on(points, actors, turn, face)
        return Sweep(points, echoes.light, shape[1] - 1 - echoes.beam, turn, actors)

    def _move_on(self, points: Floats, actors: Ints, turn: Floats, face: _Face) -> None:
        """Bring points from the middle of the face's time to where the sensor meets them at their own."""
        moment, pose = face.view.moment, self._mount.vehicle_from_sensor
        ego, world_from_vehicle = moment.ego, moment.world_from_vehicle.rotation
        arm = ego.yaw_rate_rps * np.asarray([-pose.translation_m[1], pose.translation_m[0], 0.0])
        own = ego.velocity_mps + world_from_vehicle @ arm
        spin = np.asarray([0, 0, ego.yaw_rate_rps]) @ pose.rotation
        speeds = np.zeros((len(self.drive.actors) + 1, 3))  # the last row is of what stands still
        for number, state in face.view.drawn.items():
            speeds[number] = state.velocity_mps
        move_on(points, actors, turn, face.middle, TURN_S, (speeds - own) @ (world_from_vehicle @ pose.rotation), spin)


def _over(roof: Roof, points: Doubles) -> NDArray[np.bool_]:
    """(N,) whether the way to a point in the sensor's axes meets the roof."""
    below = -points[:, 2]
    share = roof.below_m / np.maximum(below, 1e-9)
    x, y = points[:, 0] * share, points[:, 1] * share
    inside = (x < roof.ahead_m) & (x > -roof.behind_m) & (np.abs(y) < roof.half_width_m)
    return np.asarray(inside & (below > roof.below_m), np.bool_)
