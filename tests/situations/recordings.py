"""Recordings of ROS with the arrivals that a situation needs, from the samples of the tests of logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, Writer
from ros_samples import SECOND, START, Ros
from rosbags.rosbag1 import Writer as Bag

MS = 1_000_000
PERIOD = SECOND // 10
POINTS = 200
SPREAD = np.arange(POINTS) * (PERIOD // POINTS)  # ns of each point within a turn
GREY = np.linspace(10, 200, POINTS)
ROS = Ros()
Row = tuple[int, str, Any]  # arrival, topic, message


def mcap(path: Path, rows: Iterable[Row], ros: Ros = ROS, compression: CompressionType = CompressionType.ZSTD) -> Path:
    """Write rows in the order in which they come, as rosbag2 does."""
    with path.open("wb") as file:
        writer = Writer(file, compression=compression)
        writer.start("ros2", "rosbag2")
        channels: dict[tuple[str, str], int] = {}
        for at, topic, message in rows:
            kind = message.__msgtype__
            if (topic, kind) not in channels:
                text = ros.store.generate_msgdef(kind, ros_version=2)[0].encode()
                channels[topic, kind] = writer.register_channel(
                    topic, "cdr", writer.register_schema(kind, "ros2msg", text)
                )
            writer.add_message(channels[topic, kind], at, bytes(ros.store.serialize_cdr(message, kind)), at)
        writer.finish()
    return path


def bag(path: Path, rows: Iterable[Row]) -> Path:
    """Write rows, whose messages are of Ros("ros1"), as rosbag does."""
    store = Ros("ros1").store
    with Bag(path) as writer:
        connections: dict[tuple[str, str], Any] = {}
        for at, topic, message in rows:
            kind = message.__msgtype__
            if (topic, kind) not in connections:
                connections[topic, kind] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic, kind], at, store.serialize_ros1(message, kind))
    return path


def turns(cloud: Callable[[int, int], Any], count: int = 20, late_ns: int = 20 * MS, topic: str = "/points",
          period_ns: int = PERIOD) -> list[Row]:  # fmt: skip
    """`cloud(number, stamp)` for `count` stamps, each `late_ns` after its stamp."""
    stamps = [START + k * period_ns for k in range(count)]
    return [(stamp + late_ns, topic, cloud(k, stamp)) for k, stamp in enumerate(stamps)]


def lidar(count: int = 20, topic: str = "/points", ros: Ros = ROS, frame: str = "lidar", late_ns: int = 20 * MS,
          period_ns: int = PERIOD) -> list[Row]:  # fmt: skip
    """A LiDAR with nothing strange about it."""
    light = GREY.astype("u1")
    return turns(lambda k, t: ros.cloud({"intensity": light}, t, frame), count, late_ns, topic, period_ns)


def camera(count: int = 20, topic: str = "/cam/image_raw", ros: Ros = ROS, frame: str = "cam", late_ns: int = 30 * MS,
           info: dict[str, Any] | None = None, **image: Any) -> list[Row]:  # fmt: skip
    """A camera with its CameraInfo beside it."""
    pictures = turns(lambda k, t: ros.image(frame, t, **image), count, late_ns, topic)
    beside = f"{topic.rsplit('/', 1)[0]}/camera_info"
    about = turns(lambda k, t: ros.info(frame, t, **(info or {})), count, late_ns, beside)
    return [row for pair in zip(about, pictures, strict=True) for row in pair]


def places(*joints: tuple[str, str, tuple[float, float, float]], ros: Ros = ROS, topic: str = "/tf_static",
           at: int = START, **more: Any) -> list[Row]:  # fmt: skip
    """Transforms; without `joints` those of "lidar" and "cam"."""
    joints = joints or (("base_link", "lidar", (0.0, 0.0, 1.8)), ("base_link", "cam", (1.0, 0.0, 1.4)))
    return [(at, topic, ros.transforms(*joints, stamp_ns=at, **more))]


def drive(*more: Row, count: int = 20) -> list[Row]:
    """A LiDAR, a camera and their places, in the order of the arrivals."""
    return ordered([*places(), *lidar(count), *camera(count), *more])


def ordered(rows: Iterable[Row]) -> list[Row]:
    """By arrival."""
    return sorted(rows, key=lambda row: row[0])


def odometry(count: int = 20, ros: Ros = ROS) -> list[Row]:
    """A vehicle that drives ahead."""
    return turns(lambda k, t: ros.odometry(t, (0.1 * k, 0.0, 0.0)), count, topic="/odom")
