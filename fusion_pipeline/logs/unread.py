"""Which topics of a recording are not read, and which are empty: named and counted, whatever they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.mcap_places import Channel
from fusion_pipeline.logs.ros_topics import is_sensor_type

# Become the rig, by the last part of their schema's name.
HELPERS = ("CameraInfo", "CameraCalibration", "FrameTransform", "FrameTransforms", "TFMessage")
BOOKKEEPING = ("rcl_interfaces/", "rosgraph_msgs/", "rosbag2_interfaces/", "diagnostic_msgs/", "statistics_msgs/",
               "fusion.", "foxglove.SceneUpdate")  # fmt: skip


def helps(schema: str) -> bool:
    """Whether messages of this schema are read for the sake of others."""
    return schema.rpartition("/")[2].rpartition(".")[2] in HELPERS


def note_unread(
    findings: Findings, channels: Mapping[int, Channel], counts: Mapping[int, int], read: Collection[int]
) -> None:
    """Note the topics of channels that are not among those `read`, and those without a message."""
    known = {topic for _, topic in findings.known()}
    totals: Counter[str] = Counter()
    for key, channel in channels.items():
        totals[channel.topic] += counts.get(key, 0)
    for key, channel in channels.items():
        schema = channel.schema or channel.encoding or "no schema"
        if channel.topic in known or schema.startswith(BOOKKEEPING):
            continue
        if counts and not totals[channel.topic]:
            findings.add("empty-topic", channel.topic, schema[:80])
        elif key not in read and not helps(schema) and counts.get(key, 0):
            sensor = "unread-sensor" if is_sensor_type(schema) else "unread-topic"
            findings.add(sensor, channel.topic, f"{schema[:80]}, {counts[key]} messages")
