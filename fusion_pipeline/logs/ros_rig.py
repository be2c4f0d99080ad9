"""Frames, lenses, texts and first messages of ROS topics, from bags and MCAP files alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.cloud_reading import LOOK_AT, Clouds
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.frames import Frames, plain_frame
from fusion_pipeline.logs.lenses import Calibration
from fusion_pipeline.logs.pictures import depth_of, picture_size
from fusion_pipeline.logs.ros_forms import cloud_of, joint_of
from fusion_pipeline.logs.ros_topics import AUDIO_INFO, CAMERA_INFO, CLOUDS, TEXT, TFS, sound_form, space_of

LOOK_INTO = 200  # messages of transforms
First = Callable[[str, int], Iterable[Any]]  # a topic's first so many messages; those that cannot be read are left out


def look_at(kinds: Mapping[str, str], names: Mapping[str, str], first: First, heads: Heads, clouds: Clouds) -> None:
    """Read the first messages of a log's ROS topics, given with their types, into `heads` and `clouds`.

    `names` are ours of the sensors among them. Transforms that are not static are read only where a sensor has no
    place without them.
    """
    for topic, ours in names.items():
        if kinds[topic] in CLOUDS:
            samples, frames = [], []
            for message in first(topic, LOOK_AT):
                frames.append(frame_of(message))
                heads.frame_of.setdefault(topic, frames[-1])
                try:
                    samples.append(cloud_of(message))
                except Exception:  # said where it is decoded
                    continue
            clouds.learn(ours, samples)
            clouds.placed(ours, frames)
        elif kinds[topic] not in TFS:
            for message in first(topic, 1):
                heads.frame_of[topic] = frame_of(message)
                if ours.startswith("camera/"):
                    _picture(topic, message, heads)
    for topic, kind in kinds.items():
        if kind in (CAMERA_INFO, TEXT, AUDIO_INFO):
            for message in first(topic, 1):
                if kind == TEXT:
                    heads.texts[topic] = str(message.data)
                elif kind == AUDIO_INFO:
                    clouds.sounds[space_of(topic)] = sound_form(message)
                elif (found := calibration_of(topic, message)) is not None:
                    heads.calibrations.append(found)
    tfs = [topic for topic, kind in kinds.items() if kind in TFS]
    for still in (True, False):
        for topic in tfs:
            if topic.endswith("tf_static") is still and (still or heads.unplaced()):
                for message in first(topic, LOOK_INTO):
                    add_transforms(heads.frames, message.transforms)


def frame_of(message: Any) -> str:
    """The frame that a message's header names; "" without one."""
    return plain_frame(str(message.header.frame_id)) if hasattr(message, "header") else ""


def calibration_of(topic: str, info: Any) -> Calibration | None:
    """Of a sensor_msgs/CameraInfo of ROS 1 or 2, whatever its numbers are; None where its arrays are of other sizes."""

    def numbers(*names: str) -> Any:
        return np.asarray(next((getattr(info, n) for n in names if hasattr(info, n)), ()), np.float64)

    roi = getattr(info, "roi", None)
    region = (0, 0, 0, 0)
    if roi is not None:
        region = int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)
    try:
        return Calibration(
            topic, frame_of(info), str(info.distortion_model), int(info.width), int(info.height),
            numbers("K", "k").reshape(3, 3), numbers("D", "d").reshape(-1), numbers("R", "r").reshape(3, 3),
            numbers("P", "p").reshape(3, 4), (int(getattr(info, "binning_x", 1)), int(getattr(info, "binning_y", 1))),
            region,
        )  # fmt: skip
    except ValueError:
        return None


def add_transforms(frames: Frames, transforms: Any) -> None:
    """The joints of a tf2_msgs/TFMessage; those that are no transform are noted."""
    for item in transforms:
        parent, child = str(item.header.frame_id), str(item.child_frame_id)
        try:
            pose: Pose = joint_of(item)
        except ValueError:
            frames.refuse(parent, child)
            continue
        frames.join(parent, child, pose)


def _picture(topic: str, message: Any, heads: Heads) -> None:
    encoding = str(getattr(message, "encoding", getattr(message, "format", "")))
    if why := depth_of(topic, encoding):
        heads.no_camera[topic] = why
    elif hasattr(message, "width"):
        heads.sizes[topic] = int(message.width), int(message.height)
    elif hasattr(message, "data"):  # a definition of one's own may lack it; said where it is decoded
        try:
            _, height, width = picture_size(np.asarray(message.data, np.uint8))
            heads.sizes[topic] = width, height
        except ValueError:  # said where it is decoded
            return
