"""What each of our messages becomes in an MCAP file: its channel's form, and its bytes put where they will lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fusion_pipeline import results
from fusion_pipeline.arrays import Bytes
from fusion_pipeline.logs.foxglove_form import BESIDE, Beside, Sensed, payload_bytes, put_payload, stamp, to_foxglove
from fusion_pipeline.logs.foxglove_scene import boxes, calibration, transforms
from fusion_pipeline.logs.json_form import found_to_json, health_to_json, schema
from fusion_pipeline.logs.mcap_chunk import Form
from fusion_pipeline.logs.own_form import own_to_json
from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    Detections,
    EgoMotion,
    Health,
    LidarScan,
    Message,
    Tracks,
)  # fmt: skip
from fusion_pipeline.rig import Rig
from fusion_pipeline.topics import own_topics

# The field `data` of each Foxglove message: a protobuf tag of a length-delimited field. Its place is the last, which
# protobuf leaves free, so that large data is copied once, from where it is to where it will lie.
_DATA_FIELDS = {"PointCloud": 6, "RawImage": 6, "CompressedImage": 2, "CompressedVideo": 3, "RawAudio": 2}


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the file."""

    topic: str
    form: Form
    head: bytes  # all but the payload
    payload: Sensed | bytes | None = None
    payload_size: int = 0

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.head) + self.payload_size

    def put(self, place: Bytes) -> None:
        """Write it to `place` (size,)."""
        at = len(self.head)
        place[:at] = np.frombuffer(self.head, np.uint8)
        if isinstance(self.payload, bytes):
            place[at:] = np.frombuffer(self.payload, np.uint8)
        elif self.payload is not None:
            put_payload(self.payload, place[at:])


def entries(message: Message) -> Iterator[Entry]:
    """A message; before it what Foxglove's schema has no place for, behind it boxes to look at."""
    topic = message.header.source
    if isinstance(message, (CameraFrame, LidarScan, AudioChunk, EgoMotion)):
        yield beside(message)
        made = to_foxglove(message)
        size = payload_bytes(message)
        if size:
            yield Entry(topic, form_of(made), made.encode() + _tag(made, size), message, size)
        else:
            yield typed(topic, made)
    elif isinstance(message, (Detections, Tracks)):
        kind = "detections" if isinstance(message, Detections) else "tracks"
        yield Entry(topic, json_form(kind), found_to_json(message).encode())
        yield typed(f"{topic}/scene", boxes(message))
    elif isinstance(message, Health):
        yield Entry(topic, json_form("health"), health_to_json(message).encode())
    elif topic.split("/")[0] in {row.kind for row in own_topics()}:
        yield Entry(topic, json_form(topic.split("/")[0]), own_to_json(message).encode())
    else:
        yield Entry(topic, json_form(topic.split("/")[0]), results.describe(message).encode())


def beside(message: Sensed) -> Entry:
    """What Foxglove's schema of a message has no place for."""
    return Entry(BESIDE, json_form("beside"), Beside.of(message).to_json().encode())


def typed(topic: str, made: Any) -> Entry:
    """A Foxglove message."""
    return Entry(topic, form_of(made), made.encode())


def video(frame: CameraFrame, data: bytes) -> Entry:
    """A picture of a stream of H.264: in Annex B form, one picture each, see `VideoEncoder`."""
    from foxglove.messages import CompressedVideo

    made = CompressedVideo(timestamp=stamp(frame.header.capture_ns), frame_id=frame.header.source, format="h264")
    return Entry(frame.header.source, form_of(made), made.encode() + _tag(made, len(data)), data, len(data))


def rig_entries(rig: Rig, at_ns: int) -> Iterator[Entry]:
    """Where the sensors sit and how the cameras image, for viewers."""
    for transform in transforms(rig, at_ns):
        yield typed("tf", transform)
    for topic, mount in rig.cameras.items():
        yield typed(f"{topic}/calibration", calibration(topic, mount, at_ns))


def form_of(made: Any) -> Form:
    """The form of a Foxglove message."""
    kind: Any = type(made)
    return _protobuf(kind)


@cache
def _protobuf(kind: Any) -> Form:
    said = kind.get_schema()
    return Form(said.name, said.encoding, said.data)


@cache
def json_form(kind: str) -> Form:
    """The form of our own messages of a kind."""
    return Form(f"fusion.{kind}", "jsonschema", schema(kind), "json")


def _tag(made: Any, size: int) -> bytes:
    """The beginning of a field `data` of so many bytes."""
    found = bytearray([_DATA_FIELDS[type(made).__name__] << 3 | 2])
    while size > 0x7F:
        found.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*found, size])
