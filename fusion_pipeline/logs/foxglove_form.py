"""Our messages in Foxglove's schemas, so that Foxglove and Lichtblick open a log as it is (Rerun 0.41: without boxes,
odometry and sound).

`timestamp` is the capture, the log's own time the arrival. What Foxglove's schemas have no place for travels beside the
message in a `Beside`, one JSON line on the topic BESIDE, so that reading gives back exactly what was written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, Hop, LidarScan
from fusion_pipeline.messages.camera import COMPRESSED

if TYPE_CHECKING:
    from foxglove.messages import Timestamp

Sensed = CameraFrame | LidarScan | AudioChunk | EgoMotion
BESIDE = "fusion/beside"
POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("ring", "<u2"), ("offset_ns", "<i4")]
)

BLOCK = 16_384  # points: what the nearest caches hold
_POINT_WHOLE = np.dtype([("xyz", "V12"), ("intensity", "<f4"), ("ring", "<u2"), ("offset_ns", "<i4")])  # the same


@dataclass(frozen=True, slots=True)
class Beside:
    """What a Foxglove message lacks of ours."""

    topic: str
    capture_ns: int
    frame: str
    duration_ns: int = 0  # of a scan
    height_px: int = 0  # of a compressed picture
    width_px: int = 0
    hops: tuple[tuple[str, int, int], ...] = ()
    acceleration_mps2: tuple[float, ...] = ()  # of an ego motion; empty: not measured

    @classmethod
    def of(cls, message: Sensed) -> Beside:
        """What lies beside `message`."""
        head = message.header
        hops = tuple((hop.stage, hop.start_ns, hop.end_ns) for hop in head.hops)
        duration = message.duration_ns if isinstance(message, LidarScan) else 0
        size = (message.height_px, message.width_px) if isinstance(message, CameraFrame) else (0, 0)
        felt = message.acceleration_mps2 if isinstance(message, EgoMotion) else np.zeros(0)
        acceleration = tuple(felt.tolist()) if np.isfinite(felt).all() else ()
        return cls(head.source, head.capture_ns, head.frame, duration, *size, hops, acceleration)

    def to_json(self) -> str:
        """One line."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_json(cls, text: bytes) -> Beside:
        """From one line. Raises ValueError, KeyError, TypeError or OverflowError for anything else."""
        table = parse_json(text)
        table["hops"] = tuple((str(stage), int(start), int(end)) for stage, start, end in table["hops"])
        table["acceleration_mps2"] = tuple(float(value) for value in table.get("acceleration_mps2", ()))
        made = cls(**table)
        sizes = (made.capture_ns, made.duration_ns, made.height_px, made.width_px)
        if not isinstance(made.topic, str) or not isinstance(made.frame, str) or {*map(type, sizes)} != {int}:
            raise TypeError("a value of another type")
        return made

    def header(self, arrival_ns: int) -> Header:
        """The header of our message."""
        return Header(self.topic, self.capture_ns, arrival_ns, self.frame, tuple(Hop(*hop) for hop in self.hops))


def stamp(time_ns: int) -> Timestamp:
    """Nanoseconds since 1970 as Foxglove has them."""
    from foxglove.messages import Timestamp

    return Timestamp(sec=time_ns // 1_000_000_000, nsec=time_ns % 1_000_000_000)


def to_foxglove(message: Sensed) -> Any:
    """The Foxglove message of a sensor message; without its `data`, which `payload` has."""
    head = message.header
    if isinstance(message, LidarScan):
        return _cloud(message)
    if isinstance(message, CameraFrame):
        return _picture(message)
    if isinstance(message, AudioChunk):
        from foxglove.messages import RawAudio

        return RawAudio(
            timestamp=stamp(head.capture_ns),
            format="pcm-s16",
            sample_rate=message.rate_hz,
            number_of_channels=message.pcm.shape[1],
        )
    return _odometry(message)


def payload_bytes(message: Sensed) -> int:
    """Bytes of the Foxglove message's `data`."""
    if isinstance(message, LidarScan):
        return POINT.itemsize * len(message.xyz_m)
    if isinstance(message, CameraFrame):
        return message.data.nbytes
    return message.pcm.nbytes if isinstance(message, AudioChunk) else 0


def put_payload(message: Sensed, place: Bytes) -> None:
    """Write the `data` of the Foxglove message to `place` (payload_bytes,)."""
    if isinstance(message, LidarScan):
        rows, xyz = place.view(_POINT_WHOLE), np.ascontiguousarray(message.xyz_m).view("V12").reshape(-1)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            rows["xyz"][part] = xyz[part]  # twelve bytes at once: a third of the time of three columns
            for name in ("intensity", "ring", "offset_ns"):
                rows[name][part] = getattr(message, name)[part]
    elif isinstance(message, CameraFrame):
        place[:] = message.data.reshape(-1)
    elif isinstance(message, AudioChunk):
        place[:] = np.ascontiguousarray(message.pcm).reshape(-1).view(np.uint8)


def _cloud(scan: LidarScan) -> Any:
    from foxglove.messages import PointCloud, Pose, Quaternion, Vector3

    return PointCloud(
        timestamp=stamp(scan.header.capture_ns),
        frame_id=scan.header.source,
        pose=Pose(position=Vector3(), orientation=Quaternion(w=1.0)),
        point_stride=POINT.itemsize,
        fields=_point_fields(),
    )


@cache
def _point_fields() -> list[Any]:
    from foxglove.messages import PackedElementField, PackedElementFieldNumericType

    kinds = {"<f4": "Float32", "<u2": "Uint16", "<i4": "Int32"}
    return [
        PackedElementField(name=name, offset=offset, type=getattr(PackedElementFieldNumericType, kinds[kind.str]))
        for name, (kind, offset) in ((name, POINT.fields[name][:2]) for name in POINT.names or ())  # type: ignore[index]
    ]


def _picture(frame: CameraFrame) -> Any:
    from foxglove.messages import CompressedImage, RawImage

    common = {"timestamp": stamp(frame.header.capture_ns), "frame_id": frame.header.source}
    if frame.encoding in COMPRESSED:
        return CompressedImage(format=frame.encoding, **common)
    step = frame.data.shape[1] * frame.data.shape[2]
    return RawImage(width=frame.width_px, height=frame.height_px, encoding=frame.encoding, step=step, **common)


def _odometry(ego: EgoMotion) -> Any:
    from foxglove.messages import Odometry, Pose, Quaternion

    x, y, z, w = ego.orientation.tolist()
    return Odometry(
        timestamp=stamp(ego.header.capture_ns),
        frame_id="odometry",
        body_frame_id="vehicle",
        pose=Pose(position=_vector(ego.position_m), orientation=Quaternion(x=x, y=y, z=z, w=w)),
        linear_velocity=_vector(ego.velocity_mps),
        angular_velocity=_vector(ego.angular_velocity_rps),
        pose_covariance=ego.pose_covariance.ravel().tolist(),
        velocity_covariance=ego.twist_covariance.ravel().tolist(),
    )


def _vector(values: Any) -> Any:
    from foxglove.messages import Vector3

    x, y, z = values.tolist()
    return Vector3(x=x, y=y, z=z)
