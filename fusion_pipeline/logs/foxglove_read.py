"""Foxglove's protobuf messages as ours, whoever wrote them; large data is looked at where it lies, not copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Array, Bytes, Doubles, Floats, Offsets
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.foxglove_form import POINT, Beside, Sensed
from fusion_pipeline.logs.foxglove_json import split_json
from fusion_pipeline.logs.pictures import compressed_frame, raw_frame
from fusion_pipeline.logs.points import Field, columns, scan
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan
from fusion_pipeline.messages.camera import CHANNELS, COMPRESSED
from fusion_pipeline.messages.ego import unmeasured

PREFIX = "foxglove."
ENCODINGS = ("protobuf", "json")  # in which Foxglove's messages are read
KINDS = {
    "foxglove.PointCloud": "lidar", "foxglove.CompressedImage": "camera", "foxglove.RawImage": "camera",
    "foxglove.CompressedVideo": "camera", "foxglove.RawAudio": "audio", "foxglove.Odometry": "ego",
}  # fmt: skip
SMALL = 1 << 16  # data up to here is copied, so that an audio chunk does not keep its neighbours in memory
_NUMBERS = {1: "u1", 2: "i1", 3: "u2", 4: "i2", 5: "u4", 6: "i4", 7: "f4", 8: "f8"}  # PackedElementField
_WHOLE = np.dtype([("xyz", "V12"), ("intensity", "<f4"), ("ring", "<u2"), ("offset_ns", "<i4")])  # POINT, in one piece
_OURS = [(name, offset) for name, (_, offset) in ((n, POINT.fields[n][:2]) for n in POINT.names or ())]  # type: ignore[index]
_COLUMNS = ("xyz", "intensity", "ring", "offset_ns")
MOST_FIELDS = 10_000  # of a message, those within its fields not counted; Foxglove's have 20 and a few points' fields
BLOCK = 4096  # points: 90 kB, which a core keeps near
Video = Callable[[str, bytes], Bytes]  # topic and packet to (H, W, 3) BGR


@cache
def message_class(name: str) -> Any:
    """The protobuf class of "foxglove.PointCloud" and the like."""
    from importlib import import_module

    short = name.removeprefix(PREFIX)
    return getattr(import_module(f"foxglove_schemas_protobuf.{short}_pb2"), short)


@cache
def _data_field(name: str) -> int:
    """Number of the message's field `data`; 0 where it has none."""
    field = message_class(name).DESCRIPTOR.fields_by_name.get("data")
    return int(field.number) if field is not None else 0


def split(body: memoryview, number: int) -> tuple[bytes, memoryview]:
    """A protobuf message without its length-delimited field `number`, and that field's bytes, not copied.

    Raises FormError where the message's lengths do not fit.
    """
    at, size, rest, data = 0, len(body), b"", memoryview(b"")
    begin = fields = 0
    while at < size:
        start = at
        tag, at = _varint(body, at)
        kind, fields = tag & 7, fields + 1
        if tag < 8 or fields > MOST_FIELDS:  # number 0 is illegal
            raise FormError("damaged message" if tag < 8 else f"message of more than {MOST_FIELDS} fields")
        if kind == 2:
            length, at = _varint(body, at)
            at += length
        elif kind == 0:
            _, at = _varint(body, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise FormError("damaged message")
        if at > size:
            raise FormError("damaged message")
        if tag == number << 3 | 2:
            rest, data, begin = rest + bytes(body[begin:start]), body[at - length : at], at
    return rest + bytes(body[begin:]), data


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + 10, len(body))):
        byte = body[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise FormError("damaged message")


def parsed(name: str, body: memoryview, encoding: str = "protobuf") -> tuple[Any, memoryview]:
    """A Foxglove message of the schema `name`, in an encoding of ENCODINGS, without its field `data`, and that field's
    bytes; those of protobuf are not copied. Raises FormError, and protobuf's DecodeError where bytes are wrong.
    """
    if encoding == "json":
        found, data = split_json(message_class(name), body)
        return found, memoryview(data)
    number = _data_field(name)
    rest, view = split(body, number) if number else (bytes(body), memoryview(b""))
    return message_class(name).FromString(rest), view


def decoded(name: str, body: memoryview, topic: str, notes: Mapping[tuple[str, int], Beside], arrival_ns: int,
            video: Video, clouds: Clouds | None = None, ours: str = "", encoding: str = "protobuf"
            ) -> Sensed:  # fmt: skip
    """A message of a schema in KINDS as ours. Raises FormError, and other errors where bytes are wrong.

    `notes` have what lies beside messages of our own logs, by topic and capture time. `clouds` know how point clouds
    are read, by our name of the topic, `ours`.
    """
    found, data = parsed(name, body, encoding)
    capture = found.timestamp.seconds * SECOND_NS + found.timestamp.nanos
    note = notes.get((topic, capture))
    if not capture and clouds is not None:
        clouds.findings.add("unstamped", ours or topic, "stamps are 0; the time of arrival stands for them")
        capture = arrival_ns
    beside = note if note is not None else Beside(topic, capture, getattr(found, "frame_id", "") or topic)
    payload = np.frombuffer(bytes(data) if len(data) <= SMALL else data, np.uint8)
    if name == "foxglove.PointCloud":
        return _cloud(found, payload, beside, arrival_ns, clouds, ours)
    return _DECODERS[name](found, payload, beside, arrival_ns, video)


def is_ours(found: Any) -> bool:
    """Whether a PointCloud is of this project's own layout."""
    return found.point_stride == POINT.itemsize and [(f.name, f.offset) for f in found.fields] == _OURS


def cloud_of(found: Any, data: memoryview | Bytes) -> tuple[int, dict[str, Array]]:
    """A PointCloud's stamp and columns. Raises FormError."""
    return found.timestamp.seconds * SECOND_NS + found.timestamp.nanos, _columns(found, np.frombuffer(data, np.uint8))


def _columns(found: Any, data: Bytes) -> dict[str, Array]:
    if found.point_stride <= 0:
        raise FormError("cloud whose layout does not fit its bytes")
    fields = [Field(f.name, _NUMBERS[f.type], f.offset) for f in found.fields if f.type in _NUMBERS]
    return columns(data, fields, found.point_stride, len(data) // found.point_stride)


def _cloud(found: Any, data: Bytes, note: Beside, arrival: int, clouds: Clouds | None, ours: str) -> LidarScan:
    if is_ours(found):
        return LidarScan(note.header(arrival), note.duration_ns, *_apart(data))
    header, table = note.header(arrival), _columns(found, data)
    if clouds is None:
        made = scan(header, table)
    else:
        made = scan(header, table, clouds.reading(ours, header.capture_ns, table), clouds.note(ours))
    pose = pose_of(found.pose) if found.HasField("pose") else Pose.identity()
    return replace(made, xyz_m=pose.apply(made.xyz_m)) if np.abs(pose.matrix - np.eye(4)).max() > 1e-9 else made


def _apart(data: Bytes) -> tuple[Floats, Floats, NDArray[np.uint16], Offsets]:
    """Rows of POINT as columns, block by block, so that each byte comes from memory once; twelve bytes at a time."""
    rows = data.view(_WHOLE)
    n = len(rows)
    xyz, light = np.empty((n, 3), np.float32), np.empty(n, np.float32)
    ring, offset = np.empty(n, np.uint16), np.empty(n, np.int32)
    whole = xyz.view("V12").reshape(n)
    for at in range(0, n, BLOCK):
        part, here = rows[at : at + BLOCK], slice(at, at + BLOCK)
        whole[here], light[here], ring[here], offset[here] = (part[name] for name in _COLUMNS)
    return xyz, light, ring, offset


def _raw(found: Any, data: Bytes, note: Beside, arrival: int, _: Video) -> CameraFrame:
    header, encoding = note.header(arrival), str(found.encoding)
    channels = CHANNELS.get(encoding, 0)
    if channels and found.step == found.width * channels and len(data) == found.height * found.step:
        return CameraFrame(header, encoding, found.height, found.width, data.reshape(found.height, found.width, -1))
    return raw_frame(header, encoding, found.height, found.width, found.step, data, False)


def _compressed(found: Any, data: Bytes, note: Beside, arrival: int, _: Video) -> CameraFrame:
    if note.height_px and found.format in COMPRESSED:
        return CameraFrame(note.header(arrival), found.format, note.height_px, note.width_px, data)
    return compressed_frame(note.header(arrival), data)


def _video(found: Any, data: Bytes, note: Beside, arrival: int, video: Video) -> CameraFrame:
    if found.format != "h264":
        raise FormError(f"video in {found.format[:20]}")
    picture = video(note.topic, data.tobytes())
    height, width = (note.height_px, note.width_px) if note.height_px else picture.shape[:2]
    return CameraFrame(note.header(arrival), "bgr8", height, width, np.ascontiguousarray(picture[:height, :width]))


def _sound(found: Any, data: Bytes, note: Beside, arrival: int, _: Video) -> AudioChunk:
    if found.format not in ("pcm-s16", ""):
        raise FormError(f"sound coded as {found.format[:20]}")
    return AudioChunk(note.header(arrival), found.sample_rate, data.view("<i2").reshape(-1, found.number_of_channels))


def _odometry(found: Any, _: Bytes, note: Beside, arrival: int, __: Video) -> EgoMotion:
    q = found.pose.orientation
    turn = np.asarray([q.x, q.y, q.z, q.w])
    place, speeds = vector(found.pose.position), (vector(found.linear_velocity), vector(found.angular_velocity))
    if not all(np.isfinite(values).all() for values in (place, *speeds)):
        raise FormError("numbers that are not finite")
    if not 0.9 < float(np.linalg.norm(turn)) < 1.1:  # NaN, too
        raise FormError("orientation that is no rotation")
    pose, twist = (np.fromiter(c, np.float64, len(c)) for c in (found.pose_covariance, found.velocity_covariance))
    return EgoMotion(
        note.header(arrival), place, turn, *speeds,
        pose.reshape(6, 6) if pose.size else np.zeros((6, 6)), twist.reshape(6, 6) if twist.size else np.zeros((6, 6)),
        np.asarray(note.acceleration_mps2, np.float64) if note.acceleration_mps2 else unmeasured(),
    )  # fmt: skip


def vector(value: Any) -> Doubles:
    """(3,) of a foxglove.Vector3."""
    return np.asarray([value.x, value.y, value.z], np.float64)


def pose_of(value: Any) -> Pose:
    """A foxglove.Pose; one without a rotation turns nothing."""
    turn = np.asarray([value.orientation.x, value.orientation.y, value.orientation.z, value.orientation.w])
    if np.linalg.norm(turn) < 1e-6:
        turn = np.asarray([0.0, 0.0, 0.0, 1.0])
    return Pose.from_quaternion(turn, vector(value.position))


_DECODERS: dict[str, Callable[[Any, Bytes, Beside, int, Video], Sensed]] = {
    "foxglove.RawImage": _raw, "foxglove.CompressedImage": _compressed,
    "foxglove.CompressedVideo": _video, "foxglove.RawAudio": _sound, "foxglove.Odometry": _odometry,
}  # fmt: skip
