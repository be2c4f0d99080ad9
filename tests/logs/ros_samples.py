"""Messages of ROS for tests, of ROS 1 and ROS 2, written as .bag or .mcap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import Writer as McapFileWriter
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
DEFINITIONS = {
    "tf2_msgs/msg/TFMessage": "geometry_msgs/TransformStamped[] transforms",
    "livox_ros_driver2/msg/CustomPoint": "uint32 offset_time\nfloat32 x\nfloat32 y\nfloat32 z\nuint8 reflectivity\n"
    "uint8 tag\nuint8 line",
    "livox_ros_driver2/msg/CustomMsg": "std_msgs/Header header\nuint64 timebase\nuint32 point_num\nuint8 lidar_id\n"
    "uint8[3] rsvd\nlivox_ros_driver2/CustomPoint[] points",
}
STORES = {"ros1": get_typestore(Stores.ROS1_NOETIC), "ros2": get_typestore(Stores.ROS2_HUMBLE)}
for _store in STORES.values():
    for _kind, _text in DEFINITIONS.items():
        if _kind not in _store.types:
            _store.register(get_types_from_msg(_text, _kind))
_DATATYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8, "i8": 9, "u8": 10}
IDENTITY = (0.0, 0.0, 0.0, 1.0)


class Ros:
    """Makes messages of one of the two worlds."""

    def __init__(self, world: str = "ros2") -> None:
        self.world, self.store = world, STORES[world]
        self.types = self.store.types

    def header(self, frame: str, stamp_ns: int) -> Any:
        time = self.types["builtin_interfaces/msg/Time"](sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
        return self.types["std_msgs/msg/Header"](stamp=time, frame_id=frame,
                                                 **({"seq": 0} if self.world == "ros1" else {}))  # fmt: skip

    def cloud(self, extra: Mapping[str, np.ndarray], stamp_ns: int = START, frame: str = "lidar", n: int = 0) -> Any:
        """Points on a circle of 10 m with fields `extra`, each (N,)."""
        n = n or len(next(iter(extra.values())))
        angle = np.linspace(0, 6, n)
        named: dict[str, np.ndarray] = {
            "x": np.cos(angle).astype("f4") * 10, "y": np.sin(angle).astype("f4") * 10, "z": np.ones(n, "f4"), **extra,
        }  # fmt: skip
        point = np.dtype([(name, values.dtype.str) for name, values in named.items()])
        rows = np.zeros(n, point)
        for name, values in named.items():
            rows[name] = values
        field = self.types["sensor_msgs/msg/PointField"]
        fields = [
            field(name=name, offset=point.fields[name][1], datatype=_DATATYPES[values.dtype.str[1:]], count=1)
            for name, values in named.items()
        ]  # fmt: skip
        return self.types["sensor_msgs/msg/PointCloud2"](
            header=self.header(frame, stamp_ns), height=1, width=n, fields=fields, is_bigendian=False,
            point_step=point.itemsize, row_step=n * point.itemsize, data=np.frombuffer(rows.tobytes(), np.uint8),
            is_dense=True,
        )  # fmt: skip

    def image(self, frame: str = "cam", stamp_ns: int = START, size: tuple[int, int] = (32, 24),
              encoding: str = "mono8", byte: int = 1) -> Any:  # fmt: skip
        return self.types["sensor_msgs/msg/Image"](
            header=self.header(frame, stamp_ns), height=size[1], width=size[0], encoding=encoding, is_bigendian=0,
            step=size[0] * byte, data=np.full(size[0] * size[1] * byte, 90, np.uint8),
        )  # fmt: skip

    def info(self, frame: str = "cam", stamp_ns: int = START, size: tuple[int, int] = (32, 24),
             model: str = "plumb_bob", bent: Sequence[float] = (0.0,) * 5,
             k: Sequence[float] = (30.0, 0, 16, 0, 30, 12, 0, 0, 1),
             r: Sequence[float] = (1.0, 0, 0, 0, 1, 0, 0, 0, 1), p: Sequence[float] = (0.0,) * 12, binning: int = 0,
             roi: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Any:  # fmt: skip
        region = self.types["sensor_msgs/msg/RegionOfInterest"]
        part = region(x_offset=roi[0], y_offset=roi[1], width=roi[2], height=roi[3], do_rectify=False)
        names = ("D", "K", "R", "P") if self.world == "ros1" else ("d", "k", "r", "p")
        numbers = dict(zip(names, (np.asarray(v, np.float64) for v in (bent, k, r, p)), strict=True))
        return self.types["sensor_msgs/msg/CameraInfo"](
            header=self.header(frame, stamp_ns), height=size[1], width=size[0], distortion_model=model,
            binning_x=binning, binning_y=binning, roi=part, **numbers,
        )  # fmt: skip

    def transforms(self, *joints: tuple[str, str, tuple[float, float, float]], stamp_ns: int = START,
                   turn: tuple[float, float, float, float] = IDENTITY) -> Any:  # fmt: skip
        vector, quaternion, motion, stamped = (
            self.types[f"geometry_msgs/msg/{name}"]
            for name in ("Vector3", "Quaternion", "Transform", "TransformStamped")
        )
        made = [
            stamped(header=self.header(parent, stamp_ns), child_frame_id=child,
                    transform=motion(translation=vector(*place), rotation=quaternion(*turn)))
            for parent, child, place in joints
        ]  # fmt: skip
        return self.types["tf2_msgs/msg/TFMessage"](transforms=made)

    def odometry(self, stamp_ns: int = START, position: tuple[float, float, float] = (1.0, 2.0, 3.0),
                 turn: tuple[float, float, float, float] = IDENTITY, variance: float = 0.1) -> Any:  # fmt: skip
        def kind(name: str) -> Any:
            return self.types[f"geometry_msgs/msg/{name}"]

        zero = kind("Vector3")(0.0, 0.0, 0.0)
        pose = kind("Pose")(position=kind("Point")(*position), orientation=kind("Quaternion")(*turn))
        covariance = np.full(36, variance)
        return self.types["nav_msgs/msg/Odometry"](
            header=self.header("odom", stamp_ns), child_frame_id="base_link",
            pose=kind("PoseWithCovariance")(pose=pose, covariance=covariance),
            twist=kind("TwistWithCovariance")(twist=kind("Twist")(linear=zero, angular=zero), covariance=covariance),
        )  # fmt: skip

    def write(self, path: Path, content: Sequence[tuple[str, Any]], step_ns: int = 10_000_000) -> Path:
        """Messages `step_ns` apart: ROS 1 as a .bag, ROS 2 as an .mcap."""
        return self._bag(path, content, step_ns) if self.world == "ros1" else self._mcap(path, content, step_ns)

    def _bag(self, path: Path, content: Sequence[tuple[str, Any]], step_ns: int) -> Path:
        path = path.with_suffix(".bag")
        with Writer1(path) as writer:
            for number, (topic, message) in enumerate(content):
                kind = message.__msgtype__
                known = {c.topic: c for c in writer.connections}
                connection = known.get(topic) or writer.add_connection(topic, kind, typestore=self.store)
                writer.write(connection, START + number * step_ns, self.store.serialize_ros1(message, kind))
        return path

    def _mcap(self, path: Path, content: Sequence[tuple[str, Any]], step_ns: int) -> Path:
        path = path.with_suffix(".mcap")
        with path.open("wb") as file:
            writer = McapFileWriter(file)
            writer.start(profile="ros2", library="rosbag2")
            channels: dict[str, int] = {}
            for number, (topic, message) in enumerate(content):
                kind = message.__msgtype__
                if topic not in channels:
                    text = self.store.generate_msgdef(kind, ros_version=2)[0].encode()
                    channels[topic] = writer.register_channel(
                        topic, "cdr", writer.register_schema(kind, "ros2msg", text)
                    )
                at = START + number * step_ns
                writer.add_message(channels[topic], at, bytes(self.store.serialize_cdr(message, kind)), at, number)
            writer.finish()
        return path
