"""Where a thing is at any time: trajectories sampled once, read with cubic accuracy, repeated without a seam.

A scene lasts one period and starts again. On a ring street everything that moves has come round by a whole number
of laps by then, so nothing jumps: a track adds `shift_m` for every period that has passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from fusion_pipeline.arrays import Doubles, require_shape
from fusion_pipeline.geometry.pose import Pose

STEP_S = 0.05  # cubic reading of 50 ms samples is exact to 0.1 mm for what drives and walks
_SMOOTHING_SAMPLES = 21


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Position, heading and their rates at one instant, in the world frame (x, y horizontal, z up)."""

    position_m: Doubles  # (3,)
    yaw_rad: float
    velocity_mps: Doubles  # (3,)
    yaw_rate_rps: float

    @property
    def world_from_body(self) -> Pose:
        """The pose of the body: turned by its yaw, upright."""
        # Pose.from_euler by way of the quaternion, as there, to the last bit.
        z, w = math.sin(self.yaw_rad / 2), math.cos(self.yaw_rad / 2)
        c, s = w * w - z * z, 2 * (z * w)
        return Pose(np.asarray([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, z * z + w * w]]), self.position_m)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A trajectory: K samples `STEP_S` apart that cover one period of `K * STEP_S` seconds.

    Sample K would be sample 0 moved by `shift_m` and turned by `turn_rad`; a track that is not `periodic` jumps there,
    and its speed at either end is that of its own samples.
    """

    positions_m: Doubles  # (K, 3)
    yaws_rad: Doubles  # (K,) unwrapped
    shift_m: Doubles  # (3,) how far a period carries it
    turn_rad: float = 0.0
    periodic: bool = True
    _rows: Doubles = field(init=False, repr=False)  # (K, 4) positions and yaws
    _carried: Doubles = field(init=False, repr=False)  # (4,) shift and turn

    def __post_init__(self) -> None:
        require_shape("track.positions_m", self.positions_m, None, 3)
        require_shape("track.yaws_rad", self.yaws_rad, len(self.positions_m))
        require_shape("track.shift_m", self.shift_m, 3)
        object.__setattr__(self, "_rows", np.concatenate([self.positions_m, self.yaws_rad[:, None]], axis=1))
        object.__setattr__(self, "_carried", np.append(self.shift_m, self.turn_rad))

    @property
    def period_s(self) -> float:
        """Seconds until the track repeats."""
        return len(self.positions_m) * STEP_S

    @classmethod
    def still(cls, position_m: ArrayLike, yaw_rad: float, period_s: float) -> Self:
        """Something that never moves."""
        count = round(period_s / STEP_S)
        return cls(np.tile(np.asarray(position_m, np.float64), (count, 1)), np.full(count, yaw_rad), np.zeros(3))

    @classmethod
    def from_function(cls, place: Callable[[Doubles], Doubles], period_s: float, *, periodic: bool = True) -> Self:
        """Sample `place`: times (K,) to positions (K, 3). The heading follows the motion; where it stands still, it
        keeps the last heading. A track that is not `periodic` jumps back to its start at the end.
        """
        count = round(period_s / STEP_S)
        times: Doubles = np.arange(count + 1) * np.float64(STEP_S)
        path = np.asarray(place(times), np.float64)
        ahead = np.gradient(path, axis=0)
        moving = np.hypot(ahead[:, 0], ahead[:, 1]) > 1e-3 * STEP_S
        headings = np.arctan2(ahead[:, 1], ahead[:, 0])
        if moving.any():
            last = np.maximum.accumulate(np.where(moving, np.arange(count + 1), -1))
            headings = headings[np.where(last < 0, int(np.argmax(moving)), last)]
        headings = np.unwrap(headings)
        if not periodic:
            return cls(path[:-1], headings[:-1], np.zeros(3), periodic=False)
        turn = 2 * np.pi * round(float(headings[-1] - headings[0]) / (2 * np.pi))
        return cls(path[:-1], headings[:-1], path[-1] - path[0], turn)

    @classmethod
    def along(
        cls, waypoints_m: Sequence[Sequence[float]], speed_mps: float, period_s: float, wait_s: float = 0.0
    ) -> Self:
        """Walk or drive through 2-D waypoints (N, 2) at one speed after waiting, corners rounded; then stand."""
        points = np.asarray(waypoints_m, np.float64)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        way = np.concatenate([[0.0], np.cumsum(steps)])

        def place(times: Doubles) -> Doubles:
            run = np.clip((times - wait_s) * speed_mps, 0.0, way[-1])
            flat = np.stack([np.interp(run, way, points[:, 0]), np.interp(run, way, points[:, 1])], axis=1)
            window = np.hanning(_SMOOTHING_SAMPLES + 2)[1:-1]
            padded = np.pad(flat, ((_SMOOTHING_SAMPLES // 2,) * 2, (0, 0)), mode="edge")
            smooth = [np.convolve(padded[:, i], window / window.sum(), mode="valid") for i in range(2)]
            return np.stack([*smooth, np.zeros(len(times))], axis=1)

        return cls.from_function(place, period_s, periodic=False)

    def raised(self, height_m: float) -> Self:
        """The same track `height_m` higher: where a source sits above the ground."""
        return replace(self, positions_m=self.positions_m + np.array([0.0, 0.0, height_m]))

    def at(self, time_s: float) -> State:
        """State at any time, also negative or beyond the period."""
        count, whole = len(self._rows), math.floor(time_s / STEP_S)
        lap, first = divmod(whole - 1, count)
        if first + 4 > count:  # across the seam
            values, rates = (row[0] for row in self.sample(np.array([time_s])))
        else:
            share = np.array([time_s / STEP_S - whole])
            carried = float(lap) * self._carried if self.periodic else _NOWHERE
            values, rates = np.empty((2, 4))
            _between(self._rows, first, carried, share[0], (share**3)[0], values, rates)
        return State(values[:3], float(values[3]), rates[:3], float(rates[3]))

    def sample(self, times_s: Doubles) -> tuple[Doubles, Doubles]:
        """x, y, z, yaw (K, 4) and their rates (K, 4) at the times (K,)."""
        index = times_s / STEP_S
        whole = np.floor(index)
        f = index - whole
        knots = self._knots(whole.astype(np.int64)[:, None] + np.arange(-1, 3))  # (K, 4, 4)
        powers = np.stack([np.ones_like(f), f, f * f, f**3], axis=1) @ _CATMULL.T
        slopes = np.stack([np.zeros_like(f), np.ones_like(f), 2 * f, 3 * f * f], axis=1) @ _CATMULL.T / STEP_S
        return np.einsum("kn,knd->kd", powers, knots), np.einsum("kn,knd->kd", slopes, knots)

    def _knots(self, index: NDArray[np.int64]) -> Doubles:
        count = len(self.positions_m)
        if not self.periodic:
            return self._within(index, count)
        lap, sample = np.divmod(index, count)
        return np.asarray(self._rows[sample] + lap[..., None] * self._carried, np.float64)

    def _within(self, index: NDArray[np.int64], count: int) -> Doubles:
        """Knots that never reach into another period: beyond its ends a track goes straight on."""
        local = index - (index[:, 1] // count * count)[:, None]
        inside = np.clip(local, 0, count - 1)
        inner = np.clip(inside + np.sign(inside - local), 0, count - 1)
        rows = self._rows
        beyond = np.abs(local - inside)[..., None]
        return np.asarray(rows[inside] + beyond * (rows[inside] - rows[inner]), np.float64)


_CATMULL = np.array([[0.0, -0.5, 1.0, -0.5], [1.0, 0.0, -2.5, 1.5], [0.0, 0.5, 2.0, -1.5], [0.0, 0.0, -0.5, 0.5]])


_NOWHERE = np.zeros(4)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _between(rows: Any, first: int, carried: Any, f: float, cube: float, values: Any, rates: Any) -> None:
    """One row of `Track.sample`: the same sums in the same order, a tenth of the time.

    Fills values and rates (4,) at the share `f` of the way between rows `first + 1` and `first + 2`, moved
    by `carried`.
    """
    values[:], rates[:] = 0.0, 0.0
    for knot in range(4):
        a, b, c, d = _CATMULL[knot]
        weight = (a + f * f * c) + (f * b + cube * d)
        slope = (2 * f * c + (b + 3 * f * f * d)) / STEP_S
        for axis in range(4):
            place = rows[first + knot, axis] + carried[axis]
            values[axis] += weight * place
            rates[axis] += slope * place


class Herd:
    """Where many tracks are, all at once and straight between samples: within 0.05 s of travel, to see who is near."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._places_m: Doubles = np.concatenate([np.zeros((0, 3)), *(track.positions_m for track in tracks)])
        self._counts = np.asarray([len(track.positions_m) for track in tracks], np.int64)
        self._firsts = np.cumsum(self._counts) - self._counts
        self._shifts_m: Doubles = np.asarray([t.shift_m if t.periodic else np.zeros(3) for t in tracks]).reshape(-1, 3)

    def at(self, time_s: float) -> Doubles:
        """(N, 3) of all at any time."""
        whole = math.floor(time_s / STEP_S)
        lap, sample = np.divmod(whole, self._counts)
        here = self._places_m[self._firsts + sample]
        after = self._places_m[self._firsts + np.minimum(sample + 1, self._counts - 1)]
        return np.asarray(here + (time_s / STEP_S - whole) * (after - here) + lap[:, None] * self._shifts_m, np.float64)


def nearest_image(offset_x_m: float, ring_m: float) -> float:
    """The x distance on a ring street of length `ring_m`, the short way round; unchanged where `ring_m` is 0."""
    return offset_x_m - ring_m * round(offset_x_m / ring_m) if ring_m > 0 else offset_x_m


def nearest_images(offsets_x_m: Doubles, ring_m: float) -> Doubles:
    """The same of many (N,)."""
    return offsets_x_m - ring_m * np.round(offsets_x_m / ring_m) if ring_m > 0 else offsets_x_m
