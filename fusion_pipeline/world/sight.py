"""Directions and lines of sight between places of a drive."""

from __future__ import annotations

import numpy as np

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
    if not len(drive.solids):
        return True
    x, y, hx, hy, c, s, height = drive.solids.T
    start_x = np.asarray([nearest_image(float(value), drive.ring_m) for value in eye_m[0] - x])
    way = place_m - eye_m
    way[0] = nearest_image(float(way[0]), drive.ring_m)
    start_y = eye_m[1] - y
    # In each building's own axes, by slabs.
    a, b = (
        np.stack([c * start_x + s * start_y, -s * start_x + c * start_y]),
        np.stack([c * way[0] + s * way[1], -s * way[0] + c * way[1]]),
    )
    half = np.stack([hx, hy])
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-half - a) / b, (half - a) / b
    enter = np.fmax.reduce(np.fmin(one, two), axis=0)
    leave = np.fmin.reduce(np.fmax(one, two), axis=0)
    enter, leave = np.clip(enter, 0, 1), np.clip(leave, 0, 1)
    lowest = np.minimum(eye_m[2] + way[2] * enter, eye_m[2] + way[2] * leave)
    return not bool(np.any((leave - enter > 1e-6) & (lowest < height)))
