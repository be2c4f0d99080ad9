"""ROS messages as ours, from ROS 1 and ROS 2 alike: by their fields, whatever object carries them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Doubles
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.cloud_reading import CloudReading, Clouds, PointTime
from fusion_pipeline.logs.pictures import compressed_frame, picture_size, raw_frame
from fusion_pipeline.logs.points import Field, columns, scan
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, LidarScan
from fusion_pipeline.messages.ego import unmeasured

# sensor_msgs/PointField; from 9 on as of ROS 2 Lyrical
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8", 9: "i8", 10: "u8", 11: "u1"}
LIVOX = CloudReading(PointTime("t", 1, False), "reflectivity", 255.0, "line")  # as livox_ros_driver defines it
FARTHEST_NS = 2 * SECOND_NS  # between a Livox's timebase and its stamp, where both are of one clock
UNKNOWN = 1e6  # variance of what an IMU does not say


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds."""
    stamp = header.stamp
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)


def _header(message: Any, topic: str, arrival_ns: int) -> Header:
    stamp = stamp_ns(message.header)
    if stamp < 0:
        raise FormError("stamp before 1970")
    # RosDecoder notes stamps of 0
    return Header(topic, stamp or arrival_ns, arrival_ns, str(message.header.frame_id) or topic)


def scan_of(message: Any, topic: str, arrival_ns: int, clouds: Clouds | None = None) -> LidarScan:
    """A PointCloud2 with x, y, z in any layout; intensity, ring and time where it has them. Raises FormError.

    `clouds` know how those of this topic are read; without them the cloud is read by itself.
    """
    header, found = _header(message, topic, arrival_ns), _columns(message)
    if clouds is None:
        return scan(header, found)
    return scan(header, found, clouds.reading(topic, header.capture_ns, found), clouds.note(topic))


def cloud_of(message: Any) -> tuple[int, dict[str, Array]]:
    """A PointCloud2's stamp and columns. Raises FormError."""
    stamp = stamp_ns(message.header)
    return stamp, _columns(message)


def _columns(message: Any) -> dict[str, Array]:
    fields = [
        Field(str(f.name), NUMBERS[f.datatype], int(f.offset), int(f.count)) for f in message.fields
        if f.datatype in NUMBERS
    ]  # fmt: skip
    return columns(np.asarray(message.data, np.uint8), fields, int(message.point_step), int(message.width),
                   int(message.height), int(message.row_step), bool(message.is_bigendian))  # fmt: skip


def livox_of(message: Any, topic: str, arrival_ns: int) -> LidarScan:
    """A CustomMsg of livox_ros_driver, livox_ros_driver2 or livox_interfaces. Raises FormError.

    Points' offsets count from `timebase`; where that is of another clock than the stamp, from the stamp.
    """
    header, n = _header(message, topic, arrival_ns), len(message.points)
    rows = [(p.x, p.y, p.z, p.offset_time, p.reflectivity, p.line) for p in message.points]
    x, y, z, offset, light, line = np.asarray(rows, np.float64).reshape(n, 6).T
    begin = int(message.timebase) - header.capture_ns
    times = offset.astype(np.int64) + (begin if abs(begin) < FARTHEST_NS else 0)
    found: dict[str, Array] = {"x": x, "y": y, "z": z, "t": times, "reflectivity": light.astype(np.uint8),
                               "line": line.astype(np.uint8)}  # fmt: skip
    return scan(header, found, LIVOX)


def frame_of(message: Any, topic: str, arrival_ns: int) -> CameraFrame:
    """An Image in any of the usual encodings, as bgr8, rgb8 or mono8. Raises FormError."""
    return raw_frame(
        _header(message, topic, arrival_ns), str(message.encoding), int(message.height), int(message.width),
        int(message.step), np.asarray(message.data, np.uint8), bool(message.is_bigendian),
    )  # fmt: skip


def compressed_of(message: Any, topic: str, arrival_ns: int) -> CameraFrame:
    """A CompressedImage: JPEG and PNG files as they are, others decoded. Raises FormError."""
    header, data = _header(message, topic, arrival_ns), np.asarray(message.data, np.uint8)
    try:
        picture_size(data)
    except FormError:
        if data[:2].tobytes() in (b"\xff\xd8", b"\x89P"):  # of a known form, and wrong
            raise
        import cv2

        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
        if picture is None:
            raise FormError(f"damaged {str(message.format)[:30] or 'compressed'} picture") from None
        return CameraFrame(header, "bgr8", picture.shape[0], picture.shape[1], np.asarray(picture, np.uint8))
    return compressed_frame(header, data)


def odometry_of(message: Any, topic: str, arrival_ns: int) -> EgoMotion:
    """A nav_msgs/Odometry. Raises FormError where pose or speed are not finite."""
    pose, twist = message.pose.pose, message.twist.twist
    return EgoMotion(
        _header(message, topic, arrival_ns),
        _vector(pose.position), _turn(pose.orientation), _vector(twist.linear), _vector(twist.angular),
        _covariance(message.pose.covariance, 6), _covariance(message.twist.covariance, 6),
    )  # fmt: skip


def imu_of(message: Any, topic: str, arrival_ns: int) -> EgoMotion:
    """A sensor_msgs/Imu: rates and acceleration, and the turn where it gives one; place and speed are unknown.

    A covariance that begins with -1 says that the IMU does not measure this; drivers that leave it at zero leave the
    turn at zero, too. Raises FormError where what it measures is not finite.
    """
    pose, twist = np.diag([UNKNOWN] * 6), np.diag([UNKNOWN] * 6)
    twist[3:, 3:] = _covariance(message.angular_velocity_covariance, 3)
    turn = message.orientation
    known = float(message.orientation_covariance[0]) >= 0 and any((turn.x, turn.y, turn.z, turn.w))
    if known:
        pose[3:, 3:] = _covariance(message.orientation_covariance, 3)
    felt = float(message.linear_acceleration_covariance[0]) != -1
    return EgoMotion(
        _header(message, topic, arrival_ns), np.zeros(3),
        _turn(turn) if known else np.asarray([0.0, 0, 0, 1]), np.zeros(3),
        _vector(message.angular_velocity), pose, twist,
        _vector(message.linear_acceleration) if felt else unmeasured(),
    )  # fmt: skip


def transform_of(message: Any, topic: str, arrival_ns: int) -> EgoMotion:
    """A geometry_msgs/TransformStamped of the vehicle in a fixed frame: where it is, not how it moves.

    Raises FormError.
    """
    pose = joint_of(message)
    return EgoMotion(
        _header(message, topic, arrival_ns), pose.translation_m, pose.quaternion, np.zeros(3), np.zeros(3),
        np.diag([0.01] * 6), np.diag([UNKNOWN] * 6),
    )  # fmt: skip


def joint_of(message: Any) -> Pose:
    """parent_from_child of a geometry_msgs/TransformStamped. Raises FormError where it is no transform."""
    return Pose.from_quaternion(_turn(message.transform.rotation), _vector(message.transform.translation))


def sound_of(data: Bytes, topic: str, capture_ns: int | None, arrival_ns: int, rate_hz: int, channels: int,
             form: str) -> AudioChunk:  # fmt: skip
    """Samples (n,) of audio_common_msgs in the format of its AudioInfo. Without a stamp they ended at their arrival.

    Raises FormError.
    """
    if rate_hz <= 0 or channels <= 0:
        raise FormError("sound without rate or channels")
    kinds = {"S16LE": "<i2", "S16BE": ">i2", "U8": "u1", "S8": "i1", "S32LE": "<i4", "S32BE": ">i4", "F32LE": "<f4",
             "F32BE": ">f4", "F64LE": "<f8", "F64BE": ">f8"}  # fmt: skip
    if form not in kinds:
        raise FormError(f"sound coded as {form[:20]}")
    kind = np.dtype(kinds[form])
    if len(data) % (kind.itemsize * channels):
        raise FormError("sound whose size does not fit its samples")
    pcm = _sixteen(data.view(kind)).reshape(-1, channels)
    begins = arrival_ns - len(pcm) * SECOND_NS // rate_hz if capture_ns is None else capture_ns
    return AudioChunk(Header(topic, max(0, begins), arrival_ns, topic), rate_hz, pcm)


def _sixteen(samples: Any) -> Any:
    kind = samples.dtype
    if kind.kind == "f":
        return np.rint(np.clip(np.nan_to_num(samples), -1, 1) * 32767).astype(np.int16)
    if kind.itemsize == 1:
        return (samples.astype(np.int16) - (128 if kind.kind == "u" else 0)) << 8
    return (samples >> 16).astype(np.int16) if kind.itemsize == 4 else samples.astype(np.int16)


def _vector(value: Any) -> Doubles:
    found = np.asarray([value.x, value.y, value.z], np.float64)
    if not np.isfinite(found).all():
        raise FormError("numbers that are not finite")
    return found


def _turn(value: Any) -> Doubles:
    """A unit quaternion. Raises FormError for one that is none, such as zeros."""
    turn = np.asarray([value.x, value.y, value.z, value.w], np.float64)
    norm = float(np.linalg.norm(turn))
    if not 0.9 < norm < 1.1:  # NaN, too
        raise FormError("orientation that is no rotation")
    return turn / norm


def _covariance(values: Any, size: int) -> Doubles:
    """(size, size), in which what is not finite is unknown."""
    found = np.asarray(values, np.float64).reshape(size, size)
    return found if np.isfinite(found).all() else np.diag([UNKNOWN] * size)
