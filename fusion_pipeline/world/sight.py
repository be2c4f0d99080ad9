"""Directions and lines of sight between places of a drive."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import nearest_image


def bearing_rad(drive: Drive, seconds: float, position_m: Doubles) -> float:
    """Direction of a place of the world (3,) from the vehicle: 0 ahead, positive to the left."""
    ego = drive.ego.at(seconds)
    x = nearest_image(float(position_m[0] - ego.position_m[0]), drive.ring_m)
    bearing = np.arctan2(position_m[1] - ego.position_m[1], x) - ego.yaw_rad
    return float((bearing + np.pi) % (2 * np.pi) - np.pi)


def in_sight(drive: Drive, eye_m: Doubles, place_m: Doubles) -> bool:
    """Whether no building stands between two places of the world (3,); on a ring, the short way round."""
    return not _blocked(drive.solids, eye_m, place_m, drive.ring_m)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _blocked(solids: Any, eye: Any, place: Any, ring_m: float) -> bool:
    way_x, way_y, way_z = place[0] - eye[0], place[1] - eye[1], place[2] - eye[2]
    if ring_m > 0:
        way_x -= ring_m * round(way_x / ring_m)
    for row in range(len(solids)):
        x, y, half_x, half_y, c, s, height = solids[row]
        start_x, start_y = eye[0] - x, eye[1] - y
        if ring_m > 0:
            start_x -= ring_m * round(start_x / ring_m)
        # In the building's own axes, by slabs; a way along one of them divides by 0, and 0 by 0 on its face.
        enter, leave = np.nan, np.nan
        for a, b, half in (
            (c * start_x + s * start_y, c * way_x + s * way_y, half_x),
            (-s * start_x + c * start_y, -s * way_x + c * way_y, half_y),
        ):
            one, two = (-half - a) / b, (half - a) / b
            enter, leave = np.fmax(enter, np.fmin(one, two)), np.fmin(leave, np.fmax(one, two))
        enter, leave = min(max(enter, 0.0), 1.0), min(max(leave, 0.0), 1.0)
        if leave - enter > 1e-6 and min(eye[2] + way_z * enter, eye[2] + way_z * leave) < height:
            return True
    return False
