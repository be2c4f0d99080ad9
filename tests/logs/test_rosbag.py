"""ROS bags, written by the rosbags library, come back as our messages; and a recorded one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags")

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.ros_forms import FormError, compressed_of, frame_of, scan_of
from fusion_pipeline.messages import CameraFrame, EgoMotion, LidarScan

STAMP = 1_700_000_000_250_000_000
STORES = {"ros1": get_typestore(Stores.ROS1_NOETIC), "ros2": get_typestore(Stores.ROS2_HUMBLE)}
TRANSFORMS = "tf2_msgs/msg/TFMessage"
STORES["ros1"].register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", TRANSFORMS))
NEEDS_VERSION = "version" in inspect.signature(Writer2.__init__).parameters  # in later releases of the library
FIELDS = (("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 16, 4), ("t", 20, 6), ("ring", 24, 4))
POINT = np.dtype({"names": [f[0] for f in FIELDS], "formats": ["<f4", "<f4", "<f4", "<u2", "<u4", "<u2"],
                  "offsets": [f[1] for f in FIELDS], "itemsize": 32})  # fmt: skip


class Makes:
    """Messages of one of the two worlds."""

    def __init__(self, world: str) -> None:
        self.types = STORES[world].types
        self.world = world

    def header(self, frame: str) -> Any:
        time = self.types["builtin_interfaces/msg/Time"](sec=STAMP // 10**9, nanosec=STAMP % 10**9)
        more = {"seq": 0} if self.world == "ros1" else {}
        return self.types["std_msgs/msg/Header"](stamp=time, frame_id=frame, **more)

    def cloud(self, points: np.ndarray, rows: int = 1, pad: int = 0) -> Any:
        field = self.types["sensor_msgs/msg/PointField"]
        fields = [field(name=n, offset=o, datatype=d, count=1) for n, o, d in FIELDS]
        width = len(points) // rows
        data = points.tobytes()
        step = width * POINT.itemsize
        padded = b"".join(data[k * step : (k + 1) * step] + bytes(pad) for k in range(rows))
        return self.types["sensor_msgs/msg/PointCloud2"](
            header=self.header("velodyne"), height=rows, width=width, fields=fields, is_bigendian=False,
            point_step=POINT.itemsize, row_step=step + pad, data=np.frombuffer(padded, np.uint8), is_dense=True,
        )  # fmt: skip

    def image(self, pixels: np.ndarray, encoding: str, pad: int = 0) -> Any:
        height = pixels.shape[0]
        rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
        wide = np.pad(rows, ((0, 0), (0, pad)))
        return self.types["sensor_msgs/msg/Image"](
            header=self.header("camera"), height=height, width=pixels.shape[1], encoding=encoding, is_bigendian=0,
            step=wide.shape[1], data=wide.ravel(),
        )  # fmt: skip

    def info(self) -> Any:
        kind = self.types["sensor_msgs/msg/CameraInfo"]
        region = self.types["sensor_msgs/msg/RegionOfInterest"]
        roi = region(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        k, upper = np.asarray([400.0, 0, 16, 0, 410, 12, 0, 0, 1]), self.world == "ros1"
        names = ("D", "K", "R", "P") if upper else ("d", "k", "r", "p")
        values = (np.asarray([0.1, -0.05, 0.0, 0.0, 0.0]), k, np.eye(3).ravel(), np.zeros(12))
        return kind(header=self.header("camera"), height=24, width=32, distortion_model="plumb_bob", binning_x=0,
                    binning_y=0, roi=roi, **dict(zip(names, values, strict=True)))  # fmt: skip

    def frames(self) -> Any:
        made = []
        for parent, child, place in (("base_link", "roof", (0.0, 0.0, 1.5)), ("roof", "velodyne", (0.2, 0.0, 0.25)),
                                     ("roof", "camera", (0.5, 0.1, 0.0))):  # fmt: skip
            vector = self.types["geometry_msgs/msg/Vector3"](*place)
            turn = self.types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
            motion = self.types["geometry_msgs/msg/Transform"](translation=vector, rotation=turn)
            made.append(self.types["geometry_msgs/msg/TransformStamped"](
                header=self.header(parent), child_frame_id=child, transform=motion))  # fmt: skip
        return self.types["tf2_msgs/msg/TFMessage"](transforms=made)


def points(n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(1)
    out = np.zeros(n, POINT)
    for axis in "xyz":
        out[axis] = rng.normal(size=n)
    out["intensity"], out["t"], out["ring"] = rng.integers(0, 4000, n), np.arange(n) * 1_000_000, np.arange(n) % 4
    return out


def write(path: Path, world: str) -> Path:
    makes, store = Makes(world), STORES[world]
    picture = np.random.default_rng(2).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    content = [("/tf_static", makes.frames()), ("/velodyne/points", makes.cloud(points())),
               ("/cam/camera_info", makes.info()), ("/cam/image_raw", makes.image(picture, "rgb8", pad=4))]  # fmt: skip
    path = path.with_suffix(".bag") if world == "ros1" else path
    with Writer1(path) if world == "ros1" else Writer2(path, **({"version": 8} if NEEDS_VERSION else {})) as writer:
        for number, (topic, message) in enumerate(content):
            kind = message.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=store)
            raw = store.serialize_ros1(message, kind) if world == "ros1" else store.serialize_cdr(message, kind)
            writer.write(connection, STAMP + 10**7 * number, raw)
    return path


@pytest.mark.parametrize("world", STORES)
def test_a_bag_gives_scans_pictures_and_the_rig(world: str, tmp_path: Path) -> None:
    log = open_log(write(tmp_path / "bag", world))
    assert log.topics == ("lidar/velodyne_points", "camera/cam_image_raw")
    scan, frame = list(log.messages())
    assert isinstance(scan, LidarScan)
    assert isinstance(frame, CameraFrame)
    true = points()
    np.testing.assert_array_equal(scan.xyz_m, np.stack([true[a] for a in "xyz"], axis=1))
    np.testing.assert_array_equal(scan.ring, true["ring"])
    np.testing.assert_array_equal(scan.offset_ns, true["t"])
    assert (scan.header.capture_ns, scan.duration_ns) == (STAMP, 59_000_000)
    assert scan.header.arrival_ns == STAMP + 10**7
    assert (frame.encoding, frame.data.shape) == ("rgb8", (24, 32, 3))
    np.testing.assert_allclose(log.rig.lidars[log.topics[0]].vehicle_from_sensor.translation_m, [0.2, 0.0, 1.75])
    camera = log.rig.cameras[log.topics[1]]
    np.testing.assert_allclose(camera.vehicle_from_sensor.translation_m, [0.5, 0.1, 1.5])
    assert camera.model.matrix[1, 1] == 410
    assert camera.model.distortion[0] == 0.1
    assert not log.refused


def test_rows_may_be_padded_and_times_be_seconds() -> None:
    makes = Makes("ros2")
    padded = scan_of(makes.cloud(points(), rows=4, pad=16), "lidar/a", 0)
    np.testing.assert_array_equal(padded.xyz_m, scan_of(makes.cloud(points()), "lidar/a", 0).xyz_m)
    seconds = makes.cloud(points())
    for field in seconds.fields:
        field.datatype = 7 if field.name == "t" else field.datatype
    table = points().copy()
    late = (np.arange(60, dtype=np.float32) - 59) * np.float32(1e-3)
    table["t"] = late.view(np.uint32)
    seconds.data = np.frombuffer(table.tobytes(), np.uint8)
    scan = scan_of(seconds, "lidar/a", 0)
    assert scan.header.capture_ns == pytest.approx(STAMP - 59_000_000, abs=100)
    assert scan.duration_ns == pytest.approx(59_000_000, abs=100)


def test_clouds_that_lie_are_refused() -> None:
    makes = Makes("ros2")
    short = makes.cloud(points())
    short.data = short.data[:100]
    with pytest.raises(FormError, match="does not fit its bytes"):
        scan_of(short, "lidar/a", 0)
    blind = makes.cloud(points())
    blind.fields = blind.fields[1:]
    with pytest.raises(FormError, match="cloud without x"):
        scan_of(blind, "lidar/a", 0)


@pytest.mark.parametrize("encoding", ["mono16", "bayer_rggb8", "bayer_gbrg8", "yuv422", "yuv422_yuy2", "bgra8"])
def test_encodings_give_the_colours_back(encoding: str) -> None:
    """A flat colour survives every encoding."""
    blue, green, red = 40, 120, 200
    flat = np.full((24, 32, 3), (blue, green, red), np.uint8)
    grey = round(0.114 * blue + 0.587 * green + 0.299 * red)
    if encoding == "mono16":
        raw = np.full((24, 32), grey * 256 + 77, "<u2")
    elif encoding.startswith("bayer"):
        raw = np.full((24, 32), green, np.uint8)
        at = {"bayer_rggb8": ((0, 0), (1, 1)), "bayer_gbrg8": ((1, 0), (0, 1))}[encoding]
        raw[at[0][0] :: 2, at[0][1] :: 2], raw[at[1][0] :: 2, at[1][1] :: 2] = red, blue
    elif encoding.startswith("yuv"):
        code = cv2.COLOR_BGR2YUV_UYVY if encoding == "yuv422" else cv2.COLOR_BGR2YUV_YUY2
        raw = cv2.cvtColor(flat, code)
    else:
        raw = np.concatenate([flat, np.full((24, 32, 1), 255, np.uint8)], axis=2)
    frame = frame_of(Makes("ros2").image(np.asarray(raw), encoding), "camera/a", 0)
    expected = grey if encoding == "mono16" else (blue, green, red)
    assert np.abs(frame.data[4:-4, 4:-4].astype(int) - expected).max() <= 3
    with pytest.raises(FormError, match="pictures in strange"):
        frame_of(Makes("ros2").image(flat, "strange"), "camera/a", 0)


def test_compressed_pictures_are_decoded_or_refused() -> None:
    kind = STORES["ros2"].types["sensor_msgs/msg/CompressedImage"]
    picture = np.full((24, 32, 3), 90, np.uint8)
    data = cv2.imencode(".png", picture)[1].ravel()
    found = compressed_of(kind(header=Makes("ros2").header("c"), format="png", data=data), "camera/a", 0)
    assert (found.encoding, found.height_px, found.width_px) == ("png", 24, 32)
    np.testing.assert_array_equal(cv2.imdecode(found.data, cv2.IMREAD_COLOR), picture)
    jpeg = cv2.imencode(".jpg", picture)[1].ravel()
    found = compressed_of(kind(header=Makes("ros2").header("c"), format="jpeg", data=jpeg), "camera/a", 0)
    assert (found.encoding, found.height_px, found.width_px) == ("jpeg", 24, 32)
    padded = np.concatenate([jpeg, np.zeros(5000, np.uint8)])
    found = compressed_of(kind(header=Makes("ros2").header("c"), format="jpeg", data=padded), "camera/a", 0)
    assert (found.encoding, found.height_px) == ("jpeg", 24)
    webp = cv2.imencode(".webp", picture)[1].ravel()
    found = compressed_of(kind(header=Makes("ros2").header("c"), format="webp", data=webp), "camera/a", 0)
    assert (found.encoding, found.data.shape) == ("bgr8", (24, 32, 3))
    for short in (data[:20], data[:40], jpeg[:30], jpeg[: len(jpeg) // 2], webp[:30]):
        with pytest.raises(FormError, match="picture"):
            compressed_of(kind(header=Makes("ros2").header("c"), format="png", data=short), "camera/a", 0)


def test_a_cut_off_bag_is_said_in_a_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "bag", "ros1")
    (tmp_path / "half.bag").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(LogError, match=r"half\.bag cannot be read as a ROS bag"):
        open_log(tmp_path / "half.bag")
    (tmp_path / "none.bag").write_bytes(b"")
    with pytest.raises(LogError, match=r"none\.bag cannot be read as a ROS bag"):
        open_log(tmp_path / "none.bag")


def test_a_recorded_bag(data_root: Path) -> None:
    path = data_root / "bags" / "robot_localization_61s.bag"
    if not path.is_file():
        pytest.skip(f"no bag at {path}")
    log = open_log(path)
    messages = list(log.messages())
    assert len(messages) == 6121
    assert all(isinstance(message, EgoMotion) for message in messages)
    felt = [m.acceleration_mps2[2] for m in messages if isinstance(m, EgoMotion) and m.header.source == "ego/imu_data"]
    assert np.median(felt) == pytest.approx(9.8, abs=0.3)
