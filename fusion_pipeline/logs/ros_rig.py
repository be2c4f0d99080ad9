"""Frames, lenses and texts of ROS messages in an MCAP file."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.logs.foxglove_read import message_class, split
from fusion_pipeline.logs.frames import Frames
from fusion_pipeline.logs.mcap_messages import first_of, in_order
from fusion_pipeline.logs.mcap_places import McapFile
from fusion_pipeline.logs.mcap_summary import Summary
from fusion_pipeline.logs.ros_forms import joint_of

LOOK_INTO = 200  # messages of transforms
INFO, TF, TEXT = "sensor_msgs/CameraInfo", "tf2_msgs/TFMessage", "std_msgs/String"


def lens_of_info(info: Any) -> CameraModel | None:
    """The lens of a sensor_msgs/CameraInfo; None where it was never calibrated."""
    matrix = np.asarray(getattr(info, "K", getattr(info, "k", None)), np.float64).reshape(3, 3)
    bent = np.asarray(getattr(info, "D", getattr(info, "d", ())), np.float64)
    if matrix[0, 0] <= 0 or not info.width or not info.height:
        return None
    kind = "fisheye" if str(info.distortion_model) in ("equidistant", "fisheye") else "pinhole"
    return CameraModel(kind, int(info.width), int(info.height), matrix, bent[:4] if kind == "fisheye" else bent)


def add_transforms(frames: Frames, transforms: Any) -> None:
    """The joints of a tf2_msgs/TFMessage."""
    for item in transforms:
        parent, child = str(item.header.frame_id).lstrip("/"), str(item.child_frame_id).lstrip("/")
        frames.join(parent, child, joint_of(item))


def add_ros_frames(file: McapFile, found: Summary, frames: Frames, types: Any) -> dict[str, str]:
    """Add what ROS channels say of frames and lenses; texts by topic."""
    texts = {}
    still = any(c.topic.endswith("tf_static") for c in found.channels.values())
    for key, channel in found.channels.items():
        schema = channel.schema.replace("/msg/", "/")
        if schema == TF and (channel.topic.endswith("tf_static") or not still):
            stored = islice(in_order(file, found, (key,), 0, LAST_NS, Counter()), LOOK_INTO)
        elif schema in (INFO, TEXT):
            stored = islice(in_order(file, found, (key,), 0, LAST_NS, Counter()), 1)
        else:
            continue
        for item in stored:
            try:
                message = types.read(channel, item.data)
                if schema == TF:
                    add_transforms(frames, message.transforms)
                elif schema == TEXT:
                    texts[channel.topic] = str(message.data)
                elif (lens := lens_of_info(message)) is not None:
                    frames.lenses[channel.topic.rpartition("/")[0]] = lens
            except Exception:  # what cannot be read is not known
                continue
    return texts


def frame_of(file: McapFile, found: Summary, key: int, types: Any = None) -> str:
    """The frame that the first message of a sensor's channel names; "" where it cannot be read. `types` read ROS."""
    channel, stored = found.channels[key], first_of(file, found, key)
    if stored is None:
        return ""
    try:
        if channel.encoding == "protobuf":
            field = message_class(channel.schema).DESCRIPTOR.fields_by_name.get("data")
            rest = split(stored.data, field.number)[0] if field is not None else bytes(stored.data)
            return str(getattr(message_class(channel.schema).FromString(rest), "frame_id", ""))
        return str(types.read(channel, stored.data).header.frame_id).lstrip("/")
    except Exception:  # a sensor without a frame sits in the vehicle's own
        return ""
