"""ROS messages as ours, from ROS 1 and ROS 2 alike: by their fields, whatever object carries them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Floats
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import CameraFrame, EgoMotion, Header, LidarScan

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # sensor_msgs/PointField
TIMES = ("t", "time", "timestamp", "time_stamp", "offset_time")
RINGS = ("ring", "channel", "line", "row")
UNKNOWN = 1e6  # variance of what an IMU does not say
_BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerBG2BGR, "bayer_bggr8": cv2.COLOR_BayerRG2BGR,
    "bayer_gbrg8": cv2.COLOR_BayerGR2BGR, "bayer_grbg8": cv2.COLOR_BayerGB2BGR,
}  # fmt: skip
_YUV = {
    "yuv422": cv2.COLOR_YUV2BGR_UYVY, "uyvy": cv2.COLOR_YUV2BGR_UYVY, "yuv422_yuy2": cv2.COLOR_YUV2BGR_YUY2,
    "yuyv": cv2.COLOR_YUV2BGR_YUY2,
}  # fmt: skip
_PLAIN = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "mono8": 1, "8UC1": 1, "rgba8": 4, "bgra8": 4}


class FormError(ValueError):
    """A message that cannot be turned into ours; short enough for a refusal count."""


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds."""
    stamp = header.stamp
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)


def scan_of(message: Any, topic: str, arrival_ns: int) -> LidarScan:
    """A PointCloud2 with x, y, z in any layout; intensity, ring and time where it has them. Raises FormError."""
    columns = _columns(message)
    try:
        xyz = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float32)
    except KeyError as error:
        raise FormError(f"cloud without {error.args[0]}") from None
    n = len(xyz)
    light = columns.get("intensity", columns.get("reflectivity", np.zeros(n)))
    ring = next((columns[name] for name in RINGS if name in columns), np.zeros(n))
    capture = stamp_ns(message.header)
    offset = np.zeros(n, np.int64)
    for name in TIMES:
        if name in columns and n:
            offset = _nanoseconds(columns[name], capture)
            break
    first = int(offset.min(initial=0))  # some drivers count back from the last point
    offset = offset - first
    header = Header(topic, capture + first, arrival_ns, str(message.header.frame_id))
    return LidarScan(header, int(offset.max(initial=0)), xyz, _bright(light), ring.astype(np.uint16),
                     offset.astype(np.int32))  # fmt: skip


def _columns(message: Any) -> dict[str, Array]:
    """Every field of a cloud as (N,), row padding left out."""
    order = ">" if message.is_bigendian else "<"
    names = [field.name for field in message.fields if field.datatype in NUMBERS]
    forms = [order + NUMBERS[field.datatype] for field in message.fields if field.datatype in NUMBERS]
    offsets = [int(field.offset) for field in message.fields if field.datatype in NUMBERS]
    try:
        point = np.dtype({"names": names, "formats": forms, "offsets": offsets, "itemsize": int(message.point_step)})
        data = np.asarray(message.data, np.uint8)
        rows, width, step = int(message.height), int(message.width), int(message.row_step)
        used = width * int(message.point_step)
        flat = data[: rows * step].reshape(rows, step)[:, :used] if rows > 1 else data[None, :used]
        table = np.ascontiguousarray(flat).reshape(-1).view(point)
    except ValueError:
        raise FormError("cloud whose layout does not fit its bytes") from None
    return {name: table[name] for name in names}


def _nanoseconds(values: Array, capture_ns: int) -> Array:
    """Times of points relative to the stamp: nanoseconds as integers, seconds as floats, or absolute seconds."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    seconds = values.astype(np.float64)
    if np.abs(seconds).max() > 1e8:  # since 1970
        return np.rint((seconds - capture_ns / SECOND_NS) * SECOND_NS).astype(np.int64)
    return np.rint(seconds * SECOND_NS).astype(np.int64)


def _bright(values: Array) -> Floats:
    """0 to 1, from 0 to 1, 0 to 255 or 16 bit."""
    most = float(values.max(initial=0))
    full = 1.0 if most <= 1.0 and values.dtype.kind == "f" else 255.0 if most <= 255.0 else 65535.0
    return np.asarray(np.clip(values.astype(np.float32) / np.float32(full), 0, 1), np.float32)


def frame_of(message: Any, topic: str, arrival_ns: int) -> CameraFrame:
    """An Image in any of the usual encodings, as bgr8, rgb8 or mono8. Raises FormError."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    encoding, data = str(message.encoding), np.asarray(message.data, np.uint8)
    header = Header(topic, stamp_ns(message.header), arrival_ns, str(message.header.frame_id))
    try:
        rows = data[: height * step].reshape(height, step)
        pixels, name = _pixels(rows, encoding, width, bool(message.is_bigendian))
    except FormError:
        raise
    except ValueError:
        raise FormError(f"{encoding} picture whose size does not fit its bytes") from None
    return CameraFrame(header, name, height, width, np.ascontiguousarray(pixels))


def _pixels(rows: Bytes, encoding: str, width: int, big: bool) -> tuple[Bytes, str]:
    height = len(rows)
    if encoding in _PLAIN:
        channels = _PLAIN[encoding]
        picture = rows[:, : width * channels].reshape(height, width, channels)
        if channels == 4:
            return picture[:, :, :3], "rgb8" if encoding == "rgba8" else "bgr8"
        return picture, "mono8" if channels == 1 else "bgr8" if encoding == "8UC3" else encoding
    if encoding in ("mono16", "16UC1"):
        wide = np.ascontiguousarray(rows[:, : 2 * width]).view(">u2" if big else "<u2")
        return (wide >> 8).astype(np.uint8)[:, :, None], "mono8"
    if encoding in _BAYER:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(rows[:, :width]), _BAYER[encoding]), np.uint8), "bgr8"
    if encoding in _YUV:
        pairs = np.ascontiguousarray(rows[:, : 2 * width]).reshape(height, width, 2)
        return np.asarray(cv2.cvtColor(pairs, _YUV[encoding]), np.uint8), "bgr8"
    raise FormError(f"pictures in {encoding}")


def compressed_of(message: Any, topic: str, arrival_ns: int) -> CameraFrame:
    """A CompressedImage, decoded. Raises FormError."""
    header = Header(topic, stamp_ns(message.header), arrival_ns, str(message.header.frame_id))
    picture = cv2.imdecode(np.asarray(message.data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise FormError(f"damaged {message.format or 'compressed'} picture")
    height, width = picture.shape[:2]
    return CameraFrame(header, "bgr8", height, width, np.asarray(picture, np.uint8))


def odometry_of(message: Any, topic: str, arrival_ns: int) -> EgoMotion:
    """A nav_msgs/Odometry."""
    pose, twist = message.pose.pose, message.twist.twist
    return EgoMotion(
        Header(topic, stamp_ns(message.header), arrival_ns, str(message.header.frame_id)),
        _vector(pose.position), _turn(pose.orientation), _vector(twist.linear), _vector(twist.angular),
        np.asarray(message.pose.covariance, np.float64).reshape(6, 6),
        np.asarray(message.twist.covariance, np.float64).reshape(6, 6),
    )  # fmt: skip


def imu_of(message: Any, topic: str, arrival_ns: int) -> EgoMotion:
    """A sensor_msgs/Imu: rates and acceleration, and the turn where it gives one; place and speed are unknown."""
    rates = np.asarray(message.angular_velocity_covariance, np.float64).reshape(3, 3)
    turns = np.asarray(message.orientation_covariance, np.float64).reshape(3, 3)
    pose, twist = np.diag([UNKNOWN] * 6), np.diag([UNKNOWN] * 6)
    twist[3:, 3:] = rates
    known = turns[0, 0] >= 0
    if known:
        pose[3:, 3:] = turns
    return EgoMotion(
        Header(topic, stamp_ns(message.header), arrival_ns, str(message.header.frame_id)), np.zeros(3),
        _turn(message.orientation) if known else np.asarray([0.0, 0, 0, 1]), np.zeros(3),
        _vector(message.angular_velocity), pose, twist, _vector(message.linear_acceleration),
    )  # fmt: skip


def _vector(value: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray([value.x, value.y, value.z], np.float64)


def _turn(value: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    turn = np.asarray([value.x, value.y, value.z, value.w], np.float64)
    norm = float(np.linalg.norm(turn))
    return turn / norm if norm > 1e-6 else np.asarray([0.0, 0, 0, 1])
