"""ROS 1 bags (.bag) and ROS 2 bags (a folder with metadata.yaml) as logs, without ROS.

Topics are named after what they carry: /velodyne/points becomes lidar/velodyne_points, /cam/image_raw
camera/cam_image_raw. Where the bag has static transforms and CameraInfo, they become the rig, in the frame base_link.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.ros_forms import FormError, compressed_of, frame_of, imu_of, odometry_of, scan_of
from fusion_pipeline.messages import CameraFrame, EgoMotion, LidarScan, Message
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

Form = Callable[[Any, str, int], LidarScan | CameraFrame | EgoMotion]
FORMS: dict[str, tuple[str, Form]] = {
    "sensor_msgs/msg/PointCloud2": ("lidar", scan_of), "sensor_msgs/msg/Image": ("camera", frame_of),
    "sensor_msgs/msg/CompressedImage": ("camera", compressed_of), "nav_msgs/msg/Odometry": ("ego", odometry_of),
    "sensor_msgs/msg/Imu": ("ego", imu_of),
}  # fmt: skip
BASES = ("base_link", "base_footprint", "vehicle", "ego_vehicle")
LOOK_INTO = 200  # messages of a topic that are looked at for frames and lenses


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag."""
    return (path.is_file() and path.suffix == ".bag") or (path / "metadata.yaml").is_file()


class RosLog:
    """A bag as a log."""

    def __init__(self, path: Path) -> None:
        """Open it and read frames and lenses. Raises LogError."""
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        with self._open() as reader:
            self._names = {c.topic: _name(c.msgtype, c.topic) for c in reader.connections if c.msgtype in FORMS}
            if not self._names:
                held = ", ".join(sorted({c.msgtype for c in reader.connections})) or "nothing"
                raise LogError(f"{path} holds no camera, LiDAR or ego messages that this program can read, but {held}")
            self.start_ns, self.end_ns = int(reader.start_time), int(reader.end_time)
            self.rig = self._rig(reader)
        self.topics = tuple(sorted(self._names.values(), key=_order))

    def labels(self) -> Iterator[Labels]:
        """A bag has none."""
        yield from ()

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Sensor messages in the order in which they were recorded; what cannot be used is counted."""
        with self._open() as reader:
            names = {t: name for t, name in self._names.items() if topics is None or name in topics}
            wanted = [c for c in reader.connections if c.topic in names]
            if not wanted:
                return
            try:
                for connection, time_ns, data in reader.messages(wanted, start_ns, end_ns):
                    topic = self._names[connection.topic]
                    try:
                        found = reader.deserialize(data, connection.msgtype)
                        yield FORMS[connection.msgtype][1](found, topic, int(time_ns))
                    except FormError as error:
                        self.refused[topic, str(error)] += 1
                    except Exception:  # bytes are wrong in as many ways as there are fields
                        self.refused[topic, "damaged message"] += 1
            except GeneratorExit:
                raise
            except Exception:
                self.refused["log", "cut off"] += 1

    def _open(self) -> Any:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ModuleNotFoundError:
            raise LogError(f"{self.path} is a ROS bag; pip install 'fusion-pipeline[logs]' reads it") from None
        try:
            reader = AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
            reader.open()
            reader.close()
        except Exception as error:  # its own errors, and those of sqlite, yaml and lz4
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise LogError(f"{self.path} cannot be read as a ROS bag: {said[0]}") from None
        return AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))

    def _rig(self, reader: Any) -> Rig:
        frames = {c.topic: self._frame(reader, c) for c in reader.connections if c.topic in self._names}
        joints = _joints(reader)
        base = next((name for name in BASES if name in joints), "")
        lenses = _lenses(reader)
        lidars, cameras = {}, {}
        for topic, name in self._names.items():
            pose = _path(joints, base, frames[topic])
            if name.startswith("lidar/"):
                lidars[name] = LidarMount(pose)
            elif name.startswith("camera/") and (lens := _lens_of(lenses, topic)) is not None:
                cameras[name] = CameraMount(pose, lens)
        return Rig(self.path.stem, lidars, cameras)

    def _frame(self, reader: Any, connection: Any) -> str:
        for _, _, data in reader.messages(connections=[connection]):
            try:
                return str(reader.deserialize(data, connection.msgtype).header.frame_id).lstrip("/")
            except Exception:
                return ""
        return ""


def _name(kind: str, topic: str) -> str:
    return f"{FORMS[kind][0]}/{topic.strip('/').replace('/', '_')}"


def _order(name: str) -> tuple[int, str]:
    return ("lidar", "camera", "ego").index(name.split("/")[0]), name


def _joints(reader: Any) -> dict[str, dict[str, Pose]]:
    """Static transforms both ways: joints[a][b] is a_from_b."""
    joints: dict[str, dict[str, Pose]] = {}
    kinds = [c for c in reader.connections if c.msgtype == "tf2_msgs/msg/TFMessage"]
    still = [c for c in kinds if c.topic.endswith("tf_static")] or kinds
    for number, (connection, _, data) in enumerate(reader.messages(connections=still) if still else ()):
        if number >= LOOK_INTO:
            break
        try:
            transforms = reader.deserialize(data, connection.msgtype).transforms
        except Exception:
            continue
        for item in transforms:
            parent, child = str(item.header.frame_id).lstrip("/"), str(item.child_frame_id).lstrip("/")
            t, r = item.transform.translation, item.transform.rotation
            pose = Pose.from_quaternion(np.asarray([r.x, r.y, r.z, r.w]), np.asarray([t.x, t.y, t.z], np.float64))
            joints.setdefault(parent, {})[child] = pose
            joints.setdefault(child, {})[parent] = pose.inverse()
    return joints


def _path(joints: dict[str, dict[str, Pose]], base: str, frame: str) -> Pose:
    """base_from_frame by the fewest joints; the identity where there is no way."""
    waiting, seen = deque([(base, Pose.identity())]), {base}
    while waiting:
        here, pose = waiting.popleft()
        if here == frame:
            return pose
        for there, joint in joints.get(here, {}).items():
            if there not in seen:
                seen.add(there)
                waiting.append((there, pose @ joint))
    return Pose.identity()


def _lenses(reader: Any) -> dict[str, CameraModel]:
    """CameraInfo by the namespace of its topic."""
    lenses: dict[str, CameraModel] = {}
    for connection in reader.connections:
        if connection.msgtype != "sensor_msgs/msg/CameraInfo":
            continue
        for _, _, data in reader.messages(connections=[connection]):
            info = reader.deserialize(data, connection.msgtype)
            matrix = np.asarray(getattr(info, "K", getattr(info, "k", None)), np.float64).reshape(3, 3)
            bent = np.asarray(getattr(info, "D", getattr(info, "d", ())), np.float64)
            kind = "fisheye" if str(info.distortion_model) in ("equidistant", "fisheye") else "pinhole"
            if matrix[0, 0] > 0:
                bent = bent[:4] if kind == "fisheye" else bent
                model = CameraModel(kind, int(info.width), int(info.height), matrix, bent)
                lenses[connection.topic.rpartition("/")[0]] = model
            break
    return lenses


def _lens_of(lenses: dict[str, CameraModel], topic: str) -> CameraModel | None:
    """The lens of the nearest namespace above a picture's topic."""
    space = topic
    while "/" in space:
        space = space.rpartition("/")[0]
        if space in lenses:
            return lenses[space]
    return None
