"""Small recordings of ROS 1 and ROS 2, with a message of each type that is read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

START = 1_700_000_000 * 1_000_000_000
DISTRIBUTION = "humble"
Stored = tuple[str, str, bytes, str]  # topic, type, serialised, definition
_TRANSFORMS = "geometry_msgs/TransformStamped[] transforms"
_FIELDS = (("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("ring", "<u2"), ("time", "<f4"))
_POINT = np.dtype(list(_FIELDS))
_NUMBERS = {"f4": 7, "u2": 4}


@lru_cache(maxsize=2)
def store_of(world: str) -> Any:
    """The message types of "ros1" or "ros2"."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC if world == "ros1" else Stores.ROS2_HUMBLE)
    if "tf2_msgs/msg/TFMessage" not in store.types:
        store.register(get_types_from_msg(_TRANSFORMS, "tf2_msgs/msg/TFMessage"))
    return store


@lru_cache(maxsize=2)
def ros_messages(world: str) -> tuple[Stored, ...]:
    """Two of each: points, picture, compressed picture, calibration, transforms, odometry, IMU, pose."""
    store = store_of(world)
    types = store.types
    made: list[tuple[str, Any]] = []

    def kind(name: str, *values: Any, **named: Any) -> Any:
        package = "geometry_msgs" if name[0].isupper() else ""
        return types[f"{package}/msg/{name}" if package else name](*values, **named)

    for k in range(2):
        time = types["builtin_interfaces/msg/Time"](sec=START // 10**9, nanosec=k * 10_000_000)
        head = {"seq": k} if world == "ros1" else {}

        def header(frame: str, time: Any = time, head: Any = head) -> Any:
            return types["std_msgs/msg/Header"](stamp=time, frame_id=frame, **head)

        rows = np.zeros(20, _POINT)
        rows["x"], rows["y"], rows["ring"], rows["time"] = np.arange(20), 1, np.arange(20) % 4, np.arange(20) * 0.005
        fields = [
            types["sensor_msgs/msg/PointField"](name=name, offset=sum(int(form[2]) for _, form in _FIELDS[:place]),
                                                count=1, datatype=_NUMBERS[form[1:]])
            for place, (name, form) in enumerate(_FIELDS)
        ]  # fmt: skip
        made.append(("/points", types["sensor_msgs/msg/PointCloud2"](
            header=header("lidar"), height=1, width=20, fields=fields, is_bigendian=False, point_step=_POINT.itemsize,
            row_step=20 * _POINT.itemsize, data=np.frombuffer(rows.tobytes(), np.uint8), is_dense=True)))  # fmt: skip
        made.append(("/cam/image_raw", types["sensor_msgs/msg/Image"](
            header=header("cam"), height=8, width=12, encoding="bgr8", is_bigendian=0, step=36,
            data=np.full(288, 90, np.uint8))))  # fmt: skip
        import cv2

        coded = cv2.imencode(".jpg", np.full((8, 12, 3), 90, np.uint8))[1].ravel()
        compressed = types["sensor_msgs/msg/CompressedImage"](header=header("cam"), format="jpeg", data=coded)
        made.append(("/rear/image/compressed", compressed))
        region = types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
        lens = (
            [0.0] * 5,
            [10.0, 0, 6, 0, 10, 4, 0, 0, 1],
            [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
            [10.0, 0, 6, 0, 0, 10, 4, 0, 0, 0, 1, 0],
        )
        names = ("D", "K", "R", "P") if world == "ros1" else ("d", "k", "r", "p")
        made.append(("/cam/camera_info", types["sensor_msgs/msg/CameraInfo"](
            header=header("cam"), height=8, width=12, distortion_model="plumb_bob", binning_x=0,
            binning_y=0, roi=region,
            **{name: np.asarray(v, np.float64) for name, v in zip(names, lens, strict=True)})))  # fmt: skip
        zero, turn = kind("Vector3", 0.0, 0.0, 0.0), kind("Quaternion", 0.0, 0.0, 0.0, 1.0)
        joints = [
            kind("TransformStamped", header=header("base_link"), child_frame_id=child,
                 transform=kind("Transform", translation=kind("Vector3", 1.0, 0.0, 1.5), rotation=turn))
            for child in ("lidar", "cam")
        ]  # fmt: skip
        made.append(("/tf_static", types["tf2_msgs/msg/TFMessage"](transforms=joints)))
        pose = kind("Pose", position=kind("Point", 1.0 * k, 2.0, 0.0), orientation=turn)
        many = np.full(36, 0.1)
        made.append(("/odom", types["nav_msgs/msg/Odometry"](
            header=header("odom"), child_frame_id="base_link",
            pose=kind("PoseWithCovariance", pose=pose, covariance=many),
            twist=kind("TwistWithCovariance", twist=kind("Twist", linear=zero, angular=zero), covariance=many)
            )))  # fmt: skip
        nine = np.full(9, 0.01)
        made.append(("/imu", types["sensor_msgs/msg/Imu"](
            header=header("imu"), orientation=turn, orientation_covariance=nine, angular_velocity=zero,
            angular_velocity_covariance=nine, linear_acceleration=zero,
            linear_acceleration_covariance=nine)))  # fmt: skip
    serial = store.serialize_ros1 if world == "ros1" else store.serialize_cdr
    version = 1 if world == "ros1" else 2
    return tuple(
        (
            topic,
            m.__msgtype__,
            bytes(serial(m, m.__msgtype__)),
            store.generate_msgdef(m.__msgtype__, ros_version=version)[0],
        )
        for topic, m in made
    )


def ros1_bag(folder: Path) -> Path:
    """A bag of ROS 1."""
    from rosbags.rosbag1 import Writer

    path, store = folder / "drive.bag", store_of("ros1")
    with Writer(path) as writer:
        known: dict[str, Any] = {}
        for k, (topic, kind, data, _) in enumerate(ros_messages("ros1")):
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(known[topic], START + k * 10_000_000, data)
    return path


def ros2_mcap(folder: Path) -> Path:
    """An MCAP file as a recorder of ROS 2 leaves it."""
    return _mcap(folder / "ros2.mcap", [(t, k, "cdr", "ros2msg", d, s) for t, k, d, s in ros_messages("ros2")])


def ros1_mcap(folder: Path) -> Path:
    """An MCAP file made of a bag of ROS 1."""
    stored = [(t, k.replace("/msg/", "/"), "ros1", "ros1msg", d, s) for t, k, d, s in ros_messages("ros1")]
    return _mcap(folder / "ros1.mcap", stored)


def json_mcap(folder: Path) -> Path:
    """An MCAP file of Foxglove's schemas in JSON."""
    import json

    stamp = {"sec": START // 10**9, "nsec": 0}
    pose = {"position": {"x": 0, "y": 0, "z": 1}, "orientation": {"x": 0, "y": 0, "z": 0, "w": 1}}
    fields = [{"name": name, "offset": 4 * k, "type": 7} for k, name in enumerate("xyz")]
    tables = {
        "PointCloud": {"timestamp": stamp, "frame_id": "lidar", "pose": pose, "point_stride": 12, "fields": fields,
                       "data": "AACAPwAAgD8AAIA/AAAAQAAAAEAAAABA"},
        "RawImage": {"timestamp": stamp, "frame_id": "cam", "width": 2, "height": 1, "encoding": "rgb8", "step": 6,
                     "data": "AQIDBAUG"},
        "CameraCalibration": {"timestamp": stamp, "frame_id": "cam", "width": 2, "height": 1,
                              "distortion_model": "plumb_bob", "D": [0, 0, 0, 0, 0], "K": [2, 0, 1, 0, 2, 0.5, 0, 0, 1],
                              "R": [1, 0, 0, 0, 1, 0, 0, 0, 1], "P": [2, 0, 1, 0, 0, 2, 0.5, 0, 0, 0, 1, 0]},
        "FrameTransform": {"timestamp": stamp, "parent_frame_id": "base_link", "child_frame_id": "lidar",
                           "translation": {"x": 1, "y": 0, "z": 1}, "rotation": pose["orientation"]},
        "PoseInFrame": {"timestamp": stamp, "frame_id": "map", "pose": pose},
    }  # fmt: skip
    rows = [(f"/{name.lower()}", f"foxglove.{name}", "json", "jsonschema", json.dumps(table).encode(), "{}")
            for _ in range(2) for name, table in tables.items()]  # fmt: skip
    return _mcap(folder / "json.mcap", rows)


def _mcap(path: Path, stored: list[tuple[str, str, str, str, bytes, str]]) -> Path:
    from fusion_pipeline.logs.mcap_chunk import Channels, Chunk, Form
    from fusion_pipeline.logs.mcap_out import McapOut

    out, channels, chunk = McapOut(path), Channels(), Chunk(1 << 18)
    for k, (topic, kind, encoding, schema_encoding, data, text) in enumerate(stored):
        channel = channels.of(topic, Form(kind, schema_encoding, text.encode(), encoding))
        at = START + k * 10_000_000
        chunk.room(channel, at, at, k, len(data))[:] = np.frombuffer(data, np.uint8)
    out.add_chunk(chunk.sealed("none"))
    out.close()
    return path
