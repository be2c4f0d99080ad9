"""What the first messages of an MCAP file say of its sensors: their frames, lenses, and how their clouds are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.logs.cloud_reading import LOOK_AT, Clouds
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.foxglove_read import cloud_of, is_ours, message_class, split_data
from fusion_pipeline.logs.foxglove_rig import CALIBRATION, JOINTS, add_joints, calibration_of, look_at_sensor
from fusion_pipeline.logs.mcap_messages import first_of, in_order
from fusion_pipeline.logs.mcap_places import McapFile, Stored
from fusion_pipeline.logs.mcap_summary import Summary
from fusion_pipeline.logs.ros_rig import look_at

POINTS = "foxglove.PointCloud"


def look_into(file: McapFile, found: Summary, sensors: Mapping[int, str], types: Any, clouds: Clouds) -> Heads:
    """Read the first messages of `sensors` (our names by channel) and of frames, lenses and texts.

    `types` read ROS messages; None where there are none.
    """
    heads = Heads()
    for key, channel in found.channels.items():
        if channel.encoding != "protobuf":
            continue
        if channel.schema in (*JOINTS, CALIBRATION):
            _add(file, found, key, heads)
        elif key in sensors:
            _learn(file, found, key, sensors[key], heads, clouds)
    if types is not None:
        _look_at_ros(file, found, sensors, types, heads, clouds)
    return heads


def _look_at_ros(file: McapFile, found: Summary, sensors: Mapping[int, str], types: Any, heads: Heads, clouds: Clouds
                 ) -> None:  # fmt: skip
    channels = {key: c for key, c in found.channels.items() if c.encoding in ("cdr", "ros1")}
    keys: dict[str, list[int]] = {}
    for key, channel in channels.items():
        keys.setdefault(channel.topic, []).append(key)
    kinds = {c.topic: types.long(c.schema) for key, c in reversed(channels.items())}
    names = {channels[key].topic: name for key, name in sensors.items() if key in channels}

    def first(topic: str, most: int) -> Iterator[Any]:
        for stored in islice(in_order(file, found, keys[topic], 0, LAST_NS, Counter()), most):
            try:
                yield types.read(channels[stored.channel], stored.data)
            except Exception:  # what cannot be read is not known; `messages` counts it
                continue

    look_at(kinds, names, first, heads, clouds)


def _add(file: McapFile, found: Summary, key: int, heads: Heads) -> None:
    """Of frames and lenses: what the first second of their channel says."""
    channel, first = found.channels[key], first_of(file, found, key)
    if first is None:
        return
    for stored in in_order(file, found, (key,), 0, first.log_ns + SECOND_NS, Counter()):
        try:
            message = message_class(channel.schema).FromString(bytes(stored.data))
        except Exception:  # what cannot be read is not known
            continue
        if channel.schema != CALIBRATION:
            add_joints(heads.frames, message)
        elif (lens := calibration_of(channel.topic, message)) is not None:
            heads.calibrations.append(lens)
            return


def _learn(file: McapFile, found: Summary, key: int, ours: str, heads: Heads, clouds: Clouds) -> None:
    channel, samples = found.channels[key], []
    stored: Stored
    for stored in islice(in_order(file, found, (key,), 0, LAST_NS, Counter()), LOOK_AT):
        try:
            rest, data = split_data(channel.schema, stored.data)
            message = message_class(channel.schema).FromString(rest)
            if channel.topic not in heads.frame_of:
                look_at_sensor(channel.topic, channel.schema, message, data, heads)
            if channel.schema != POINTS or is_ours(message):
                break
            samples.append(cloud_of(message, data))
        except Exception:  # what cannot be read is not known; `messages` counts it
            continue
    clouds.learn(ours, samples)
