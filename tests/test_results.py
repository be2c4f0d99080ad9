"""The output format: one line of JSON a set, whatever the numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from fusion_pipeline import results
from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    Header,
    Hop,
    SoundEvent,
    SourceStamp,
    Tracks,
)  # fmt: skip


def one_track() -> Tracks:
    """A car with everything."""
    f = np.float32
    boxes = Boxes(
        centers_m=np.asarray([[12.1, -3.2, 0.8]], f), sizes_m=np.asarray([[4.1, 1.7, 1.5]], f),
        yaws_rad=np.asarray([0.02], f), velocities_mps=np.asarray([[8.1, 0.0]], f), scores=np.asarray([0.93], f),
        labels=np.asarray([0]), std=np.full((1, 8), 0.1, f), attribution=np.asarray([[0.8, 0.2, 0.0]], f),
        track_ids=np.asarray([17]),
    )  # fmt: skip
    header = Header("tracks", 1_000_000_003, 2, "vehicle", (Hop("aligner/wait", 1, 2),))
    stamp = SourceStamp("camera/front", 997_000_003, -3_000_000)
    return Tracks(header, ("car",), boxes, (SoundEvent("siren", 0.8, 1.2),), (stamp,), ("audio/roof: silent",))


def test_a_line_holds_what_the_format_promises() -> None:
    line = json.loads(results.line(one_track()))
    assert line["stamp_ns"] == 1_000_000_003
    assert line["frame"] == "vehicle"
    assert line["present"] == ["camera/front"]
    assert line["missing"] == ["audio/roof: silent"]
    assert line["sources"] == {"camera/front": {"capture_ns": 997_000_003, "offset_ms": -3.0}}
    assert line["objects"] == [
        {
            "label": "car", "score": 0.93, "center_m": [12.1, -3.2, 0.8], "size_m": [4.1, 1.7, 1.5], "yaw_rad": 0.02,
            "velocity_mps": [8.1, 0.0], "std": [0.1] * 8, "attribution": {"lidar": 0.8, "camera": 0.2, "audio": 0.0},
            "track_id": 17,
        }
    ]  # fmt: skip
    assert line["sounds"] == [{"label": "siren", "score": 0.8, "azimuth_rad": 1.2}]
    assert line["hops"] == [{"stage": "aligner/wait", "start_ns": 1, "end_ns": 2}]


def test_numbers_that_json_lacks_become_zero() -> None:
    track = one_track()
    broken = replace(track.boxes, velocities_mps=np.asarray([[np.nan, np.inf]], np.float32))
    line = json.loads(results.line(replace(track, boxes=broken)))
    assert line["objects"][0]["velocity_mps"] == [0.0, 0.0]


def test_describe_tells_large_arrays_by_shape() -> None:
    chunk = AudioChunk(Header("audio/roof", 5, 6), 16_000, np.zeros((320, 4), np.int16))
    told = json.loads(results.describe(chunk))
    assert (told["type"], told["pcm"], told["header"]["capture_ns"]) == ("AudioChunk", "int16 320x4", 5)
