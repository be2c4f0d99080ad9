"""Frames, lenses and first messages of Foxglove topics."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.frames import Frames, plain_frame
from fusion_pipeline.logs.lenses import Calibration
from fusion_pipeline.logs.pictures import depth_of, picture_size
from fusion_pipeline.logs.reader import FormError

JOINTS = ("foxglove.FrameTransform", "foxglove.FrameTransforms")
CALIBRATION = "foxglove.CameraCalibration"


def add_joints(frames: Frames, found: Any) -> None:
    """The joints of a FrameTransform or FrameTransforms; those that are no transform are noted."""
    for item in getattr(found, "transforms", (found,)):
        r, t = item.rotation, item.translation
        turn, place = np.asarray([r.x, r.y, r.z, r.w]), np.asarray([t.x, t.y, t.z])
        norm = float(np.linalg.norm(turn))
        if (item.HasField("rotation") and not 0.9 < norm < 1.1) or not np.isfinite(place).all():
            frames.refuse(item.parent_frame_id, item.child_frame_id)
            continue
        turn = turn / norm if norm else np.asarray([0.0, 0.0, 0.0, 1.0])  # left out: none
        frames.join(item.parent_frame_id, item.child_frame_id, Pose.from_quaternion(turn, place))


def calibration_of(topic: str, found: Any) -> Calibration | None:
    """Of a CameraCalibration, whatever its numbers are; None where K is not of nine numbers."""
    arrays = [np.asarray(values, np.float64) for values in (found.K, found.R, found.P)]
    if arrays[0].size != 9:
        return None
    turn = arrays[1].reshape(3, 3) if arrays[1].size == 9 else np.zeros((3, 3))
    projection = arrays[2].reshape(3, 4) if arrays[2].size == 12 else np.zeros((3, 4))
    return Calibration(topic, plain_frame(found.frame_id), found.distortion_model, int(found.width), int(found.height),
                       arrays[0].reshape(3, 3), np.asarray(found.D, np.float64), turn, projection)  # fmt: skip


def look_at_sensor(topic: str, schema: str, found: Any, data: memoryview, heads: Heads) -> None:
    """The frame of a sensor's first message, and its pictures' size. `data` is its field of that name."""
    heads.frame_of[topic] = plain_frame(str(getattr(found, "frame_id", "")))
    if schema == "foxglove.RawImage":
        if why := depth_of(topic, str(found.encoding)):
            heads.no_camera[topic] = why
        else:
            heads.sizes[topic] = int(found.width), int(found.height)
    elif schema == "foxglove.CompressedImage":
        if why := depth_of(topic, str(found.format)):
            heads.no_camera[topic] = why
            return
        try:
            _, height, width = picture_size(np.frombuffer(data, np.uint8))
            heads.sizes[topic] = width, height
        except FormError:  # said where it is decoded
            return
