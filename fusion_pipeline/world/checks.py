"""Scenes that cannot be are refused with the reason."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import Track, nearest_image

EGO_SIZE_M = (4.4, 1.8, 1.6)
LEAST_IOU = 1e-4  # what touches does not overlap


class SceneError(ValueError):
    """A scene that cannot be; the message says what is where."""


def check(drive: Drive, seconds: float = 0.0) -> None:
    """Raise SceneError where at `seconds` things overlap each other, a building, or the vehicle."""
    names = ["the vehicle", *(f"{actor.kind} {n}" for n, actor in enumerate(drive.actors))]
    rows = [_row(drive, drive.ego, EGO_SIZE_M, seconds)]
    rows += [_row(drive, actor.track, actor.size_m, seconds) for actor in drive.actors]
    x = np.asarray([nearest_image(float(value - rows[0][0]), drive.ring_m) for value in drive.solids[:, 0]])
    _, y, hx, hy, c, s, height = drive.solids.T
    buildings = np.column_stack([x + rows[0][0], y, height / 2, 2 * hx, 2 * hy, height, np.arctan2(s, c)])
    table = np.asarray(rows)
    _refuse(np.triu(iou_bev(table, table), 1), names, "overlap each other", table, seconds)
    _refuse(iou_bev(table, buildings), names, "is inside a building", table, seconds)


def _refuse(overlap: Doubles, names: list[str], what: str, table: Doubles, seconds: float) -> None:
    if not overlap.size or overlap.max() <= LEAST_IOU:
        return
    a, b = (int(n) for n in np.unravel_index(int(overlap.argmax()), overlap.shape))
    who = f"{names[a]} and {names[b]}" if what.startswith("overlap") else names[a]
    raise SceneError(f"{who} {what} at x {table[a, 0]:.1f} m, y {table[a, 1]:.1f} m, t {seconds:.1f} s")


def _row(drive: Drive, track: Track, size: tuple[float, float, float], seconds: float) -> tuple[float, ...]:
    state, ego = track.at(seconds), drive.ego.at(seconds)
    x = float(ego.position_m[0]) + nearest_image(float(state.position_m[0] - ego.position_m[0]), drive.ring_m)
    return (x, float(state.position_m[1]), size[2] / 2, *size, state.yaw_rad)


def check_sensors(drive: Drive, rig: Rig, seconds: float = 0.0) -> None:
    """Raise SceneError where at `seconds` a sensor of the rig is inside a building, or under a level ground."""
    mounts: dict[str, LidarMount | CameraMount | MicrophoneArray] = {**rig.lidars, **rig.cameras, **rig.audios}
    ego = drive.ego.at(seconds)
    for topic, mount in mounts.items():
        place = ego.world_from_body.apply(mount.vehicle_from_sensor.translation_m[None])[0]
        where = f"x {place[0]:.1f} m, y {place[1]:.1f} m, z {place[2]:.1f} m, t {seconds:.1f} s"
        if drive.level and place[2] <= 0:
            raise SceneError(f"{topic} is under the ground at {where}; correct its vehicle_from_sensor in the rig")
        for x, y, hx, hy, c, s, height in drive.solids:
            dx, dy = nearest_image(float(place[0] - x), drive.ring_m), place[1] - y
            if abs(c * dx + s * dy) < hx and abs(c * dy - s * dx) < hy and place[2] < height:
                raise SceneError(f"{topic} is inside a building at {where}; correct its vehicle_from_sensor in the rig")
