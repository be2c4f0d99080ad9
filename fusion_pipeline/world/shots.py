"""What comes back of each beam of a sweep: the inner loop of the simulated LiDAR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from fusion_pipeline.arrays import Doubles, Ints
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.statistics import COSINE_EDGES, RANGE_EDGES_M, Statistics
from fusion_pipeline.world.surfaces import chance as fate
from fusion_pipeline.world.weather import NEAR_ECHO_M

CLOSEST_M = 0.9
ROAD_HALF_M = 6.0
ROAD, GRASS = int(Material.ROAD), int(Material.GRASS)
PATCHES = 7  # salt of what a triangle of glass or dark paint does to all beams alike, as mirrors do
REFLECTANCE_AT_RANGE = 0.1  # a sensor's range is stated for targets of 10 %
_LOTS: Doubles = (np.arange(1024) + 0.5) / 1024
_DRAWN: Doubles = np.sqrt(3.0) / np.pi * np.log(_LOTS / (1 - _LOTS))  # of a logistic of standard deviation 1
_RANGE_EDGES, _COSINE_EDGES = np.asarray(RANGE_EDGES_M), np.asarray(COSINE_EDGES)


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """Statistics as the loop takes them: losses and parts of the intensity by range, cosine, beam and material."""

    lost: tuple[Doubles, Doubles, Doubles, Doubles]
    light: tuple[Doubles, Doubles, Doubles, Doubles]
    spread: float

    @classmethod
    def of(cls, figures: Statistics, beams_from_below: Ints) -> Published:
        """`beams_from_below` (V,) are the rings (0 at the top) as the loop runs through them."""
        relative = 1 / figures.lost
        return cls(
            (np.asarray(figures.lost_by_range), np.asarray(figures.lost_by_cosine) * relative,
             np.asarray(figures.lost_by_ring)[beams_from_below] * relative, figures.lost_by_material()),
            (np.asarray(figures.light_by_range), np.asarray(figures.light_by_cosine),
             np.asarray(figures.light_by_ring)[beams_from_below], figures.base()),
            figures.light_spread,
        )  # fmt: skip


_NONE = (np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
UNPUBLISHED = Published(_NONE, _NONE, 0.0)


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _bin(edges: Any, value: float) -> int:
    row = 0
    while row < len(edges) - 2 and value >= edges[row + 1]:
        row += 1
    return row


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def shoot(
    inverse: Any, ids: Any, ratio: Any, stretch: Any, slope: Any, turn: Any, eye: Any, normals: Any, materials: Any,
    reflectance: Any, lost: Any, reach: float, noise: float, noisy: bool, extinction: float, rain_noise: float,
    level: bool, brightness: Any, fade: float, lost_tables: Any, light_tables: Any, spread: float, chance: Any,
    bell: Any, xyz: Any, light: Any, column: Any, beam: Any, triangle: Any,
) -> int:  # fmt: skip
    """Echoes of all rays, one after another; how many there are. Tables are a Published's; empty: none."""
    published = len(light_tables[0]) > 0
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
            bright, droplet = reflectance[material] * (0.4 + 0.6 * incidence), False
            if noisy:
                row, angle = 0, 0
                if published:
                    row, angle = _bin(_RANGE_EDGES, distance), _bin(_COSINE_EDGES, incidence)
                    loss = lost_tables[0][row] * lost_tables[1][angle] * lost_tables[2][v]
                    patchy = lost_tables[3][material]
                    if patchy > 0 and fate(0, 0, number, PATCHES) < patchy:
                        continue
                else:
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
                        number, bright, droplet = np.int64(-1), 0.02, True
                if published and not droplet:
                    bright = light_tables[0][row] + light_tables[1][angle] + light_tables[2][v]
                    bright += light_tables[3][material] + spread * _DRAWN[int(chance[1, u, v] * len(_DRAWN))]
                    if extinction > 0:
                        bright *= np.exp(-2.0 * extinction * distance)
                else:
                    bright += brightness[v] - fade * (distance / 50.0) ** 2
                distance += noise * bell[u, v] + rain_noise * distance * bell[u, v]
            scale = distance / long
            xyz[count, 0], xyz[count, 1], xyz[count, 2] = scale, wy * scale, wz * scale
            light[count] = min(max(bright, 0.0), 1.0)
            column[count], beam[count], triangle[count] = u, v, number
            count += 1
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def move_on(
    points: Any, actors: Any, turn: Any, middle: float, turn_s: float, speeds: Any, spin: Any
) -> None:  # fmt: skip
    """Move points (N, 3) in place by what they and the sensor do between the share `middle` of a turn and their `turn`.

    `speeds` (A + 1, 3) are those of the actors relative to the sensor, in its axes; the last one is of all else, whose
    number is -1. `spin` (3,) is the sensor's own.
    """
    for i in range(len(points)):
        after = (turn[i] - np.float32(middle)) * np.float32(turn_s)
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        speed = speeds[actors[i]]
        points[i, 0] = x + (speed[0] - (spin[1] * z - spin[2] * y)) * after
        points[i, 1] = y + (speed[1] - (spin[2] * x - spin[0] * z)) * after
        points[i, 2] = z + (speed[2] - (spin[0] * y - spin[1] * x)) * after
