"""Detections and tracks as lines of JSON: the output format of every verb that writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    CameraFrame,
    Detections,
    EgoMotion,
    LidarScan,
    Message,
    SensorSet,
    SourceStamp,
    Tracks,
)  # fmt: skip
from fusion_pipeline.messages.detections import MODALITIES


def line(found: Detections | Tracks | SensorSet) -> str:
    """One sensor set as one line of JSON without its line break; boxes in the vehicle frame at `stamp_ns`."""
    if isinstance(found, SensorSet):
        found = _unseen(found)
    header = found.header
    record = {
        "stamp_ns": header.capture_ns,
        "frame": header.frame,
        "present": [source.source for source in found.sources],
        "missing": list(found.missing),
        "sources": {
            source.source: {"capture_ns": source.capture_ns, "offset_ms": round(source.offset_ns / 1e6, 6)}
            for source in found.sources
        },
        "objects": objects(found.boxes, found.class_names, found.coasting_s if isinstance(found, Tracks) else ()),
        "sounds": [
            {"label": sound.label, "score": _short(sound.score), "azimuth_rad": _short(sound.azimuth_rad)}
            for sound in found.sounds
        ],
        "hops": [{"stage": hop.stage, "start_ns": hop.start_ns, "end_ns": hop.end_ns} for hop in header.hops],
    }
    return json.dumps(record, separators=(", ", ": "), allow_nan=False)


def _unseen(found: SensorSet) -> Detections:
    """A set before any network has looked at it."""
    at = found.header.capture_ns
    parts: tuple[LidarScan | CameraFrame | AudioChunk | EgoMotion, ...]
    parts = (*found.lidars, *found.cameras, *found.audios, *found.egos)
    heads = [part.header for part in parts]
    sources = tuple(SourceStamp(head.source, head.capture_ns, head.capture_ns - at) for head in heads)
    missing = tuple(f"{item.source}: {item.reason}" for item in found.missing)
    return Detections(found.header, (), Boxes.empty(), (), sources, missing)


def objects(boxes: Boxes, class_names: tuple[str, ...], coasting_s: Sequence[float] = ()) -> list[dict[str, Any]]:
    """Boxes as plain values; of tracks, with how long each has not been seen. Numbers that are not finite become 0,
    since JSON has none.
    """
    return [
        {
            "label": class_names[label] if 0 <= label < len(class_names) else str(label),
            "score": _short(boxes.scores[i]),
            "center_m": _list(boxes.centers_m[i]),
            "size_m": _list(boxes.sizes_m[i]),
            "yaw_rad": _short(boxes.yaws_rad[i]),
            "velocity_mps": _list(boxes.velocities_mps[i]),
            "std": _list(boxes.std[i]),
            "attribution": dict(zip(MODALITIES, _list(boxes.attribution[i]), strict=True)),
            "track_id": int(boxes.track_ids[i]),
            **({"coasting_s": _short(coasting_s[i])} if coasting_s else {}),
        }
        for i, label in enumerate(boxes.labels.tolist())
    ]


def _short(value: Any) -> float:
    return round(float(value), 6) if np.isfinite(value) else 0.0


def _list(values: Iterable[Any]) -> list[float]:
    return [_short(value) for value in values]


def describe(message: Message) -> str:
    """Any message as one line of JSON; arrays of more than 16 numbers are told by type and shape."""
    if isinstance(message, (Detections, Tracks)):
        return line(message)
    return json.dumps({"type": type(message).__name__, **_plain(message)}, separators=(", ", ": "))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return _list(value.ravel()) if value.size <= 16 else f"{value.dtype} {'x'.join(map(str, value.shape))}"
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
