"""Which ROS messages are read, under which of our topics, and what must be remembered from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.logs.ros_forms import (
    compressed_of,
    frame_of,
    imu_of,
    odometry_of,
    scan_of,
    sound_of,
    stamp_ns,
    transform_of,
)  # fmt: skip
from fusion_pipeline.logs.ros_packets import PacketScans
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan

Found = LidarScan | CameraFrame | EgoMotion | AudioChunk
Form = Callable[[Any, str, int], Found]
PLAIN: dict[str, tuple[str, Form]] = {
    "sensor_msgs/msg/PointCloud2": ("lidar", scan_of), "sensor_msgs/msg/Image": ("camera", frame_of),
    "sensor_msgs/msg/CompressedImage": ("camera", compressed_of), "nav_msgs/msg/Odometry": ("ego", odometry_of),
    "sensor_msgs/msg/Imu": ("ego", imu_of),
}  # fmt: skip
VELODYNE = "velodyne_msgs/msg/VelodyneScan"
OUSTER = ("ouster_ros/msg/PacketMsg", "ouster_sensor_msgs/msg/PacketMsg")
AUDIO = tuple(f"audio_common_msgs/msg/Audio{kind}" for kind in ("Data", "DataStamped", "Stamped"))
AUDIO_INFO = "audio_common_msgs/msg/AudioInfo"
TEXT, TF = "std_msgs/msg/String", "tf2_msgs/msg/TFMessage"
KINDS: dict[str, str] = {
    **{name: kind for name, (kind, _) in PLAIN.items()}, VELODYNE: "lidar", **dict.fromkeys(OUSTER, "lidar"),
    **dict.fromkeys(AUDIO, "audio"),
}  # fmt: skip
BASES = ("base_link", "base_footprint", "vehicle", "ego_vehicle")
FIXED = ("odom", "map", "world")
EGO_OF_TF = "ego/tf"


def name_of(kind: str, topic: str) -> str:
    """Our name of another system's topic: /velodyne/points becomes lidar/velodyne_points, lidar/top stays."""
    bare = topic.strip("/")
    if bare.startswith(f"{kind}/"):
        return bare
    return f"{kind}/{bare.replace('/', '_')}"


def names_of(topics: Mapping[str, str]) -> dict[str, str]:
    """Our names of those topics of a bag, given with their types, that can be read. Ouster's IMU packets cannot."""
    found = {}
    for topic, kind in topics.items():
        if kind in KINDS and not (kind in OUSTER and "imu" in topic):
            found[topic] = name_of(KINDS[kind], topic)
    moving = [topic for topic, kind in topics.items() if kind == TF and not topic.endswith("tf_static")]
    if moving and not any(kind == "nav_msgs/msg/Odometry" for kind in topics.values()):
        found[moving[0]] = EGO_OF_TF
    return found


class RosDecoder:
    """Messages of a bag, in order, as ours; sounds, packets and transforms need what came before."""

    def __init__(self, names: Mapping[str, str], hints: Mapping[str, str]) -> None:
        """`names` as of `names_of`; `hints` are texts beside the sensors, such as an Ouster's metadata, by topic."""
        self._names = names
        self._hints = dict(hints)
        self._sounds: dict[str, tuple[int, int, str]] = {}  # by namespace
        self._packets: dict[str, PacketScans] = {}

    def decode(self, topic: str, kind: str, message: Any, time_ns: int) -> Iterator[Found]:
        """What a message of a bag's `topic` gives: one of ours, or the scans that its packets complete.

        Raises FormError, and other errors where bytes are wrong.
        """
        name = self._names.get(topic, "")
        if kind == AUDIO_INFO:
            self._sounds[_space(topic)] = int(message.sample_rate), int(message.channels), _format(message)
        elif kind == TEXT:
            self._hints[topic] = str(message.data)
        elif not name:
            return
        elif kind in PLAIN:
            yield PLAIN[kind][1](message, name, time_ns)
        elif kind in AUDIO:
            yield self._sound(message, kind, topic, name, time_ns)
        elif kind == TF:
            for item in message.transforms:
                parent, child = (str(f).lstrip("/") for f in (item.header.frame_id, item.child_frame_id))
                if parent in FIXED and child in BASES:
                    yield transform_of(item, name, time_ns)
        else:
            scans = self._packets.get(topic)
            if scans is None:
                scans = self._packets[topic] = PacketScans(name, kind == VELODYNE, _nearest(self._hints, topic))
            yield from scans.take(message, time_ns)

    def finish(self) -> Iterator[Found]:
        """The turns that the end of the bag cut short."""
        for scans in self._packets.values():
            yield from scans.finish()

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Packets that were refused, by topic and reason."""
        for topic, scans in self._packets.items():
            for reason, count in scans.counts.items():
                yield (self._names[topic], reason.removeprefix("refused: ")), count

    def _sound(self, message: Any, kind: str, topic: str, name: str, time_ns: int) -> AudioChunk:
        capture = stamp_ns(message.header) if hasattr(message, "header") else None
        if kind.endswith("AudioStamped") and hasattr(message.audio, "info"):  # as of audio_common 4 for ROS 2
            info, held = message.audio.info, message.audio.audio_data
            for field, form in (("int16_data", "S16LE"), ("float32_data", "F32LE"), ("int32_data", "S32LE"),
                                ("uint8_data", "U8"), ("int8_data", "S8")):  # fmt: skip
                samples = np.asarray(getattr(held, field))
                if len(samples):
                    return sound_of(samples.view(np.uint8), name, capture, time_ns, int(info.rate), int(info.channels),
                                    form)  # fmt: skip
            raise FormError("sound without samples")
        data: Bytes = np.asarray(message.audio.data if hasattr(message, "audio") else message.data, np.uint8)
        told = self._sounds.get(_space(topic))
        if told is None:
            raise FormError("sound before its AudioInfo")
        return sound_of(data, name, capture, time_ns, told[0], told[1], told[2])


def _space(topic: str) -> str:
    return topic.rpartition("/")[0]


def _format(info: Any) -> str:
    coding = str(info.coding_format).lower()
    return str(info.sample_format).upper() if coding in ("wave", "wav", "raw", "pcm", "") else coding


def _nearest(hints: Mapping[str, str], topic: str) -> str:
    """The text whose topic shares the longest beginning with `topic`; "" without any."""

    def shared(other: str) -> int:
        return next(
            (k for k, (a, b) in enumerate(zip(topic, other, strict=False)) if a != b), min(len(topic), len(other))
        )

    metadata = [key for key in hints if key.endswith("metadata")]
    return hints[max(metadata, key=shared)] if metadata else ""
