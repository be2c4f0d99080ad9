"""Which topics of MCAP files are not read, and which have no message: named and counted, so that nothing vanishes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.foxglove_form import BESIDE
from fusion_pipeline.logs.foxglove_rig import CALIBRATION, JOINTS
from fusion_pipeline.logs.mcap_places import Channel
from fusion_pipeline.logs.ros_topics import AUDIO_INFO, CAMERA_INFO, TEXT, TFS, is_sensor_type

# What recorders and ROS itself write on their own account.
BOOKKEEPING = ("rcl_interfaces/", "rosgraph_msgs/", "rosbag2_interfaces/", "diagnostic_msgs/", "statistics_msgs/",
               "fusion.", "foxglove.SceneUpdate")  # fmt: skip


def note_unread(findings: Findings, channels: Iterable[tuple[Channel, int, bool]], lacking: Collection[str]) -> None:
    """Note the topics of a recording of which nothing is read, and those without a message.

    `channels`: each channel of each file, its messages, whether they are read. A channel that only helps to read
    others, such as a CameraInfo, is read. `lacking` are topics that have a finding of their own.
    """
    counts: dict[tuple[str, str, str], int] = {}
    heard, used = set(), set()
    for channel, count, read in channels:
        key = channel.topic, channel.schema, channel.encoding
        counts[key] = counts.get(key, 0) + count
        if count:
            heard.add(channel.topic)
        if read or helps(channel):
            used.add(key)
    for key, count in counts.items():
        topic, schema, encoding = key
        kind = " ".join(part for part in (schema[:80] or "without a schema", f"({encoding[:20]})" if encoding else ""))
        if topic in lacking or schema.startswith(BOOKKEEPING):
            continue
        if topic not in heard:
            findings.add("empty-topic", topic, kind)
        elif count and key not in used:
            name = "unread-sensor" if is_sensor_type(schema) else "unread-topic"
            findings.add(name, topic, f"{kind}, {count} messages")


def helps(channel: Channel) -> bool:
    """Whether a channel is read for the sake of others: places, lenses, what lies beside messages."""
    kind = channel.schema.replace("/msg/", "/")
    helpers = {name.replace("/msg/", "/") for name in (CAMERA_INFO, AUDIO_INFO, *TFS)}
    if channel.encoding in ("cdr", "ros1"):
        text = kind == TEXT.replace("/msg/", "/") and channel.topic.endswith("metadata")
        return kind in helpers or text
    return channel.topic == BESIDE or (channel.schema in (*JOINTS, CALIBRATION) and channel.encoding != "flatbuffer")
