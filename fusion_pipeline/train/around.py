"""Moments for the all-round network: what it is given of one with cameras to four sides, and how it does on each side.

Streets lie ahead of the vehicle and have nothing behind it. So that each side has its share, the vehicle is turned in
them by quarters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.encode.audio import AZIMUTHS
from fusion_pipeline.encode.image import prepare
from fusion_pipeline.encode.lookup import PICTURE, CameraTable, audio_table, camera_table, joined
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.train.rides import Ride
from fusion_pipeline.train.views import WHOLE, lens

if TYPE_CHECKING:
    from fusion_pipeline.train.judge import Found

SIDES = ("ahead", "beside", "behind")
_AHEAD_RAD, _BEHIND_RAD = np.pi / 4, 3 * np.pi / 4


def inputs(ride: Ride, raster: BevRaster, mix: tuple[int, int, int]) -> dict[str, Array]:
    """The network's inputs by name, of the senses of `mix`: lidar, camera, audio."""
    nothing = np.zeros((0, 3), np.float32)
    xyz, before = (ride.xyz_m, ride.before_m) if mix[0] else (nothing, ())
    pictures = [ride.picture(), *(other.picture() for other in ride.others)]
    matrices = [(ride.matrix, ride.camera), *((other.matrix, other.camera) for other in ride.others)]
    middles = raster.grid.cells()
    seen = joined([_table(lens(matrix), camera, middles) for matrix, camera in matrices])
    heard = audio_table(ride.array_m, None, middles)
    return {
        "lidar_bev": raster(xyz, ride.intensity[: len(xyz)], before), "image": _images(pictures) * np.float32(mix[1]),
        "cam_lut": seen.lut, "cam_bin": seen.bins, "cam_rays": seen.rays[None], "audio_srp": ride.srp[None],
        "audio_level": ride.level[None], "aud_lut": heard.lut, "aud_geo": heard.geometry,
        "aud_dir": heard.directions[None], "present": np.asarray([[*mix, mix[0]]], np.float32),
    }  # fmt: skip


def _table(model: CameraModel, camera: Doubles, middles: Doubles) -> CameraTable:
    return camera_table(model, Pose(camera[:3, :3], camera[:3, 3]), WHOLE, None, middles)


def _images(pictures: Sequence[Array]) -> Floats:
    return np.stack([prepare(picture, PICTURE)[0] for picture in pictures])


def side_of(boxes: Array) -> Array:
    """(N,) which of SIDES boxes (N, 2 or more) lie on, by where their middles are seen from the vehicle's."""
    bearing = np.abs(np.arctan2(boxes[:, 1], boxes[:, 0]))
    return (bearing > _AHEAD_RAD).astype(np.int64) + (bearing > _BEHIND_RAD)


def turned(ride: Ride, quarters: int) -> Ride:
    """The same moment with the vehicle, and so all its sensors, turned so many quarters to the right: what was ahead is
    on its left after one.
    """
    angle = quarters * np.pi / 2
    pose = Pose.from_euler(0.0, 0.0, angle, np.zeros(3))
    flat = np.rint(pose.rotation[:2, :2])

    def points(xyz: Floats) -> Floats:
        return np.column_stack([xyz[:, :2] @ flat.T, xyz[:, 2]]).astype(np.float32)

    boxes, sounds = ride.boxes.copy(), ride.sounds.copy()
    boxes[:, :2], boxes[:, 7:9] = boxes[:, :2] @ flat.T, boxes[:, 7:9] @ flat.T
    boxes[:, 6] = _wrapped(boxes[:, 6] + angle)
    sounds[:, 1] = _wrapped(sounds[:, 1] + angle)
    return replace(
        ride, xyz_m=points(ride.xyz_m), before_m=(points(ride.before_m[0]), points(ride.before_m[1])), boxes=boxes,
        camera=pose.matrix @ ride.camera, array_m=pose.apply(ride.array_m[None])[0], sounds=sounds,
        srp=np.roll(ride.srp, quarters * AZIMUTHS // 4, axis=2),
        others=tuple(replace(other, camera=pose.matrix @ other.camera) for other in ride.others),
    )  # fmt: skip


def _wrapped(angles: Array) -> Array:
    return np.asarray(np.angle(np.exp(1j * angles)))


def on_side(ride: Ride, found: Found, side: int) -> tuple[Ride, Found]:
    """Of a moment and what was found in it what lies on one of SIDES; things elsewhere count neither way."""
    here, there = side_of(ride.boxes) == side, side_of(found.boxes) == side
    return replace(ride, points=ride.points * here, pixels=ride.pixels * here), replace(
        found, boxes=found.boxes[there], scores=found.scores[there], labels=found.labels[there], std=found.std[there],
        attr=found.attr[there],
    )  # fmt: skip
