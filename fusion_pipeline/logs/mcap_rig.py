"""What the first messages of an MCAP file say of its sensors: their frames, lenses, and how their clouds are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.cloud_reading import LOOK_AT, Clouds
from fusion_pipeline.logs.damage import is_damage
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.foxglove_read import ENCODINGS, cloud_of, is_ours, parsed
from fusion_pipeline.logs.foxglove_rig import CALIBRATION, JOINTS, add_joints, calibration_of, look_at_sensor
from fusion_pipeline.logs.mcap_decode import ROS, topics_apart
from fusion_pipeline.logs.mcap_messages import Firsts
from fusion_pipeline.logs.mcap_places import Channel, McapFile, Stored
from fusion_pipeline.logs.mcap_summary import Summary
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.logs.ros_rig import LOOK_INTO, look_at
from fusion_pipeline.logs.ros_topics import AUDIO_INFO, CAMERA_INFO, TEXT, TFS
from fusion_pipeline.logs.ros_types import RosTypes

POINTS = "foxglove.PointCloud"
MOST_JOINTS = 1000  # messages of a channel of transforms that are looked at


def look_into(file: McapFile, found: Summary, sensors: Mapping[int, str], heads: Heads, clouds: Clouds) -> None:
    """Read the first messages of `sensors` (our names by channel) and of frames, lenses and texts into `heads` and
    `clouds`. Raises LogError where the library for ROS messages is missing.
    """
    foxglove = {key: c for key, c in found.channels.items() if c.encoding in ENCODINGS}
    firsts = Firsts(file, found, {
        key: MOST_JOINTS if c.schema in JOINTS else LOOK_AT for key, c in foxglove.items()
        if key in sensors or c.schema in (*JOINTS, CALIBRATION)
    })  # fmt: skip
    for key, channel in foxglove.items():
        if channel.schema in (*JOINTS, CALIBRATION):
            _add(channel, firsts.of((key,)), heads)
        elif key in sensors:
            _learn(channel, firsts.of((key,)), sensors[key], heads, clouds)
    _look_at_ros(file, found, sensors, heads, clouds)


def _look_at_ros(file: McapFile, found: Summary, sensors: Mapping[int, str], heads: Heads, clouds: Clouds) -> None:
    channels = {key: c for key, c in found.channels.items() if c.encoding in ROS}
    if not channels:
        return
    types = RosTypes()
    topics = topics_apart(channels)
    keys: dict[str, list[int]] = {}
    for key, topic in topics.items():
        keys.setdefault(topic, []).append(key)
    kinds = {topic: types.long(channels[same[0]].schema) for topic, same in keys.items()}
    names = {topics[key]: name for key, name in sensors.items() if key in channels}
    # Transforms that move are the only ones of which many are read, and mostly none.
    moving = {key: topic for key, topic in topics.items() if kinds[topic] in TFS and not topic.endswith("tf_static")}
    many = Firsts(file, found, dict.fromkeys(moving, LOOK_INTO))
    few = Firsts(file, found, {
        key: LOOK_INTO if kinds[topic] in TFS else LOOK_AT for key, topic in topics.items()
        if key not in moving and (key in sensors or kinds[topic] in (*TFS, CAMERA_INFO, TEXT, AUDIO_INFO))
    })  # fmt: skip

    def first(topic: str, most: int) -> Iterator[Any]:
        for stored in (many if keys[topic][0] in moving else few).of(keys[topic], most):
            try:
                yield types.read(channels[stored.channel], stored.data)
            except Exception as error:
                _check(error)

    look_at(kinds, names, first, heads, clouds)


def _add(channel: Channel, stored: list[Stored], heads: Heads) -> None:
    """Of frames and lenses: what the first second of their channel says."""
    for item in stored:
        if item.log_ns >= stored[0].log_ns + SECOND_NS:
            return
        try:
            message = parsed(channel.schema, item.data, channel.encoding)[0]
        except Exception as error:
            _check(error)
            continue
        if channel.schema != CALIBRATION:
            add_joints(heads.frames, message)
        elif (lens := calibration_of(channel.topic, message)) is not None:
            heads.calibrations.append(lens)
            return


def _learn(channel: Channel, stored: list[Stored], ours: str, heads: Heads, clouds: Clouds) -> None:
    samples, frames = [], []
    for item in stored:
        try:
            message, data = parsed(channel.schema, item.data, channel.encoding)
            if channel.topic not in heads.frame_of:
                look_at_sensor(channel.topic, channel.schema, message, data, heads)
            if channel.schema != POINTS or is_ours(message):
                break
            frames.append(str(message.frame_id))
            samples.append(cloud_of(message, data))
        except Exception as error:
            _check(error)
    clouds.learn(ours, samples)
    clouds.placed(ours, frames)


def _check(error: Exception) -> None:
    """What cannot be read is not known here; `McapLog.messages` counts it. Raises errors that are no damage."""
    if not (isinstance(error, FormError) or is_damage(error)):
        raise error
