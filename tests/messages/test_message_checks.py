"""Messages check themselves when they are made, and say which field is wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fusion_pipeline.bench.wire import samples
from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    CameraFrame,
    Detections,
    EgoMotion,
    Header,
    Health,
    Hop,
    LidarScan,
    Message,
    SensorSet,
)  # fmt: skip

GOOD = {type(message): message for message in samples()}
ROWS = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (CameraFrame, {"encoding": "yuv"}, "'yuv' is unknown; known: rgb8"),
        (CameraFrame, {"height_px": 0}, "both must be positive"),
        (CameraFrame, {"width_px": -3}, "both must be positive"),
        (CameraFrame, {"width_px": 4}, r"camera.data has shape \(2, 3, 3\), expected \(2, 4, 3\)"),
        (CameraFrame, {"encoding": "mono8"}, r"expected \(2, 3, 1\)"),
        (CameraFrame, {"encoding": "jpeg"}, r"expected \(any\)"),
        (CameraFrame, {"data": np.zeros((2, 3, 3), np.float32)}, "camera.data has dtype float32, expected uint8"),
        (LidarScan, {"xyz_m": np.zeros((3, 4), np.float32)}, "lidar.xyz_m has shape"),
        (LidarScan, {"xyz_m": np.zeros((3, 3))}, "lidar.xyz_m has dtype float64"),
        (LidarScan, {"intensity": ROWS}, r"lidar.intensity has shape \(2,\), expected \(3\)"),
        (LidarScan, {"ring": np.zeros(3, np.int32)}, "lidar.ring has dtype int32, expected uint16"),
        (LidarScan, {"offset_ns": np.zeros(3, np.int64)}, "lidar.offset_ns has dtype"),
        (LidarScan, {"duration_ns": -1}, "lidar.duration_ns is -1"),
        (AudioChunk, {"pcm": np.zeros(4, np.int16)}, "audio.pcm has shape"),
        (AudioChunk, {"pcm": np.zeros((4, 2), np.float32)}, "audio.pcm has dtype"),
        (AudioChunk, {"pcm": np.zeros((4, 0), np.int16)}, "no channel"),
        (AudioChunk, {"rate_hz": 0}, "audio.rate_hz is 0"),
        (EgoMotion, {"position_m": np.zeros(2)}, "ego.position_m has shape"),
        (EgoMotion, {"velocity_mps": np.zeros(3, np.float32)}, "ego.velocity_mps has dtype float32"),
        (EgoMotion, {"orientation": np.zeros(4)}, "norm 0.000"),
        (EgoMotion, {"orientation": np.full(4, np.nan)}, "norm nan"),
        (EgoMotion, {"pose_covariance": np.zeros((3, 3))}, "ego.pose_covariance has shape"),
        (Health, {"state": "tired"}, "'tired' is unknown; known: starting"),
    ],
)
def test_wrong_fields_are_named(kind: type[Message], change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(GOOD[kind], **change)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Boxes) if field.name != "scores"])
def test_every_array_of_boxes_has_as_many_rows(name: str) -> None:
    detections = GOOD[Detections]
    assert isinstance(detections, Detections)
    boxes = detections.boxes
    with pytest.raises(ValueError, match=f"{name} has shape"):
        dataclasses.replace(boxes, **{name: getattr(boxes, name)[1:]})
    with pytest.raises(ValueError, match=f"{name} has dtype"):
        dataclasses.replace(boxes, **{name: getattr(boxes, name).astype(np.float64)})


def test_boxes_by_row() -> None:
    detections = GOOD[Detections]
    assert isinstance(detections, Detections)
    taken = detections.boxes.take(np.array([2, 0]))
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.labels, [2, 0])
    assert len(Boxes.empty()) == 0


def test_headers() -> None:
    with pytest.raises(ValueError, match="source is empty"):
        Header("", 1, 1)
    with pytest.raises(ValueError, match="must not be negative: capture -1"):
        Header("ego", -1, 1)
    first = Header("ego", 1, 2, hops=(Hop("a", 1, 2),))
    assert first.after(Hop("b", 2, 3)).hops == (Hop("a", 1, 2), Hop("b", 2, 3))
    assert len(first.hops) == 1


@pytest.mark.parametrize("message", samples(), ids=lambda message: type(message).__name__)
def test_messages_are_frozen(message: Message) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.header = Header("ego", 1, 1)  # type: ignore[misc]


def test_derived_times() -> None:
    audio, scan, whole = GOOD[AudioChunk], GOOD[LidarScan], GOOD[SensorSet]
    assert isinstance(audio, AudioChunk)
    assert isinstance(scan, LidarScan)
    assert isinstance(whole, SensorSet)
    assert audio.end_ns == audio.header.capture_ns + 4 * 10**9 // 16_000
    assert scan.middle_ns == scan.header.capture_ns + 50_000_000
    assert whole.present == ("lidar/top", "camera/front", "audio/roof", "ego")
