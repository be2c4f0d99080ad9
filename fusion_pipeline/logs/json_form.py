"""Detections, tracks and health as JSON with a schema: what `fusion` prints as lines, with nothing rounded or left out.

Numbers come back exactly. NaN is null; an infinite number is written as 1e999, which JSON allows and every parser reads
as infinite.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import numpy as np

from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.messages import (
    Boxes,
    Count,
    Detections,
    EgoMotion,
    Header,
    Health,
    Hop,
    SoundEvent,
    SourceStamp,
    StageTiming,
    Tracks,
)  # fmt: skip
from fusion_pipeline.messages.detections import MODALITIES
from fusion_pipeline.messages.health import STATES

_COLUMNS = {"center_m": "centers_m", "size_m": "sizes_m", "yaw_rad": "yaws_rad", "velocity_mps": "velocities_mps",
            "score": "scores", "std": "std"}  # fmt: skip
_EGO = ("position_m", "orientation", "velocity_mps", "angular_velocity_rps", "pose_covariance", "twist_covariance",
        "acceleration_mps2")  # fmt: skip


def found_to_json(found: Detections | Tracks) -> str:
    """One set as one line."""
    header, boxes = found.header, found.boxes
    columns = {name: _numbers(getattr(boxes, column)) for name, column in _COLUMNS.items()}
    shares = _numbers(boxes.attribution)
    labels = boxes.labels.tolist()
    names = found.class_names
    coasting = found.coasting_s if isinstance(found, Tracks) else ()
    table = {
        "stamp_ns": header.capture_ns,
        "frame": header.frame,
        "present": [source.source for source in found.sources],
        "missing": list(found.missing),
        "sources": {
            source.source: {"capture_ns": source.capture_ns, "offset_ms": source.offset_ns / 1e6,
                            "offset_ns": source.offset_ns}
            for source in found.sources
        },
        "class_names": list(names),
        "objects": [
            {
                "label": names[label] if 0 <= label < len(names) else str(label),
                "class": label,
                **{name: values[row] for name, values in columns.items()},
                "attribution": dict(zip(MODALITIES, shares[row], strict=True)),
                "track_id": int(boxes.track_ids[row]),
                **({"coasting_s": coasting[row]} if coasting else {}),
            }
            for row, label in enumerate(labels)
        ],
        "sounds": [asdict(sound) for sound in found.sounds],
        "egos": [_ego_table(ego) for ego in found.egos],
        "hops": [asdict(hop) for hop in header.hops],
    }  # fmt: skip
    return _text(table)


def found_from_json(text: bytes, kind: type[Detections] | type[Tracks], topic: str, arrival_ns: int
                    ) -> Detections | Tracks:  # fmt: skip
    """The set that a line was made of. Raises ValueError, KeyError or TypeError for anything else."""
    table = parse_json(text)
    if type(table["stamp_ns"]) is not int or not isinstance(table["frame"], str):
        raise TypeError("a stamp or frame of another type")
    header = Header(topic, table["stamp_ns"], arrival_ns, table["frame"], _hops(table))
    rows, count = table["objects"], len(table["objects"])
    shapes = {"center_m": (count, 3), "size_m": (count, 3), "velocity_mps": (count, 2), "std": (count, 8)}
    columns = {
        column: _array([row[name] for row in rows], np.float32, shapes.get(name, (count,)))
        for name, column in _COLUMNS.items()
    }
    shares = [[row["attribution"][name] for name in MODALITIES] for row in rows]
    boxes = Boxes(
        **columns,
        attribution=_array(shares, np.float32, (count, len(MODALITIES))),
        labels=np.asarray([row["class"] for row in rows], np.int64),
        track_ids=np.asarray([row["track_id"] for row in rows], np.int64),
    )
    made = kind(
        header,
        tuple(table["class_names"]),
        boxes,
        tuple(SoundEvent(sound["label"], _number(sound["score"]), _number(sound["azimuth_rad"]))
              for sound in table["sounds"]),
        tuple(SourceStamp(name, entry["capture_ns"], entry["offset_ns"]) for name, entry in table["sources"].items()),
        tuple(table["missing"]),
        tuple(_ego(entry) for entry in table["egos"]),
    )  # fmt: skip
    if isinstance(made, Tracks) and rows and all("coasting_s" in row for row in rows):
        made = replace(made, coasting_s=tuple(float(row["coasting_s"]) for row in rows))
    return made


def health_to_json(health: Health) -> str:
    """What a node said of itself as one line."""
    table = asdict(health)
    header = table.pop("header")
    return _text({"stamp_ns": header["capture_ns"], "frame": header["frame"], **table})


def health_from_json(text: bytes, topic: str, arrival_ns: int) -> Health:
    """The health that a line was made of. Raises ValueError, KeyError or TypeError for anything else."""
    table = parse_json(text)
    header = Header(topic, table.pop("stamp_ns"), arrival_ns, table.pop("frame"))
    table["timings"] = tuple(StageTiming(**row) for row in table["timings"])
    for name in ("received", "published", "dropped", "refused"):
        table[name] = tuple(Count(**row) for row in table[name])
    return Health(header, **table)


def _ego_table(ego: EgoMotion) -> dict[str, Any]:
    head = ego.header
    stamps = {"source": head.source, "capture_ns": head.capture_ns, "arrival_ns": head.arrival_ns, "frame": head.frame}
    hops = [asdict(hop) for hop in head.hops]
    return {**stamps, "hops": hops, **{name: _numbers(getattr(ego, name)) for name in _EGO}}


def _ego(entry: Mapping[str, Any]) -> EgoMotion:
    header = Header(entry["source"], entry["capture_ns"], entry["arrival_ns"], entry["frame"], _hops(entry))
    arrays = {name: np.asarray(_known(entry[name]), np.float64) for name in _EGO}
    return EgoMotion(header, **arrays)


def _hops(table: Mapping[str, Any]) -> tuple[Hop, ...]:
    return tuple(Hop(hop["stage"], hop["start_ns"], hop["end_ns"]) for hop in table["hops"])


def _numbers(values: Any) -> Any:
    """An array as nested lists with as many digits as its type has, no more."""
    plain = values.tolist() if values.dtype == np.float64 else _short(values)
    return plain if np.isfinite(values).all() else _finite(plain)


def _short(values: Any) -> Any:
    flat = [float(f"{value:.9g}") for value in values.ravel().tolist()]  # as many digits as give back a float32
    return np.asarray(flat, np.float64).reshape(values.shape).tolist()


def _known(values: Any) -> Any:
    return [_known(value) for value in values] if isinstance(values, list) else _number(values)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _array(values: Any, kind: Any, shape: tuple[int, ...]) -> Any:
    return np.asarray(_known(values), kind).reshape(shape)


def _text(table: Mapping[str, Any]) -> str:
    text = json.dumps(table, separators=(", ", ": "))
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(_finite(table), separators=(", ", ": "))
    return text.replace('"\\u0000inf"', "1e999").replace('"-\\u0000inf"', "-1e999")


def _finite(value: Any) -> Any:
    """NaN becomes null, infinite numbers marks that `_text` replaces."""
    if isinstance(value, float) and not np.isfinite(value):
        return None if value != value else "\0inf" if value > 0 else "-\0inf"
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


@cache
def schema(kind: str) -> bytes:
    """The JSON schema of "detections", "tracks", "health" or "beside"; of any other kind, any object."""
    table: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"fusion.{kind}"}
    table["type"] = "object"
    known: dict[str, dict[str, Any]] = {"detections": _FOUND, "tracks": _FOUND, "health": _HEALTH, "beside": _BESIDE}
    if kind in known:
        fields = known[kind]
        table["properties"], table["required"] = fields, list(fields)
    return json.dumps(table).encode()


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


_INT, _STRING, _NUMBER = {"type": "integer"}, {"type": "string"}, {"type": ["number", "null"]}
_NUMBERS = _list(_NUMBER)
_MATRIX = _list(_NUMBERS)
_HOPS = _list(_object(stage=_STRING, start_ns=_INT, end_ns=_INT))
_OBJECT = _object(
    label=_STRING, **{"class": _INT}, center_m=_NUMBERS, size_m=_NUMBERS, yaw_rad=_NUMBER, velocity_mps=_NUMBERS,
    score=_NUMBER, std=_NUMBERS, attribution=_object(**dict.fromkeys(MODALITIES, _NUMBER)), track_id=_INT,
)  # fmt: skip
_OBJECT["properties"]["coasting_s"] = _NUMBER  # of tracks alone
_FOUND = {
    "stamp_ns": _INT, "frame": _STRING, "present": _list(_STRING), "missing": _list(_STRING),
    "sources": {
        "type": "object",
        "additionalProperties": _object(capture_ns=_INT, offset_ms=_NUMBER, offset_ns=_INT),
    },
    "class_names": _list(_STRING), "objects": _list(_OBJECT),
    "sounds": _list(_object(label=_STRING, score=_NUMBER, azimuth_rad=_NUMBER)),
    "egos": _list(_object(
        source=_STRING, capture_ns=_INT, arrival_ns=_INT, frame=_STRING, hops=_HOPS, position_m=_NUMBERS,
        orientation=_NUMBERS, velocity_mps=_NUMBERS, angular_velocity_rps=_NUMBERS, pose_covariance=_MATRIX,
        twist_covariance=_MATRIX, acceleration_mps2=_NUMBERS,
    )),
    "hops": _HOPS,
}  # fmt: skip
_COUNTS = _list(_object(topic=_STRING, reason=_STRING, total=_INT))
_HEALTH = {
    "stamp_ns": _INT, "frame": _STRING, "node": _STRING, "pid": _INT, "state": {"enum": list(STATES)},
    "detail": _STRING,
    "timings": _list(_object(stage=_STRING, count=_INT, p50_ms=_NUMBER, p95_ms=_NUMBER, max_ms=_NUMBER)),
    "received": _COUNTS, "published": _COUNTS, "dropped": _COUNTS, "refused": _COUNTS, "work": _STRING,
    "work_s": _NUMBER, "work_limit_s": _NUMBER, "starts": _INT, "monotonic_ns": _INT,
}  # fmt: skip
_BESIDE = {
    "topic": _STRING, "capture_ns": _INT, "frame": _STRING, "duration_ns": _INT, "height_px": _INT, "width_px": _INT,
    "hops": _list({"type": "array"}), "acceleration_mps2": _NUMBERS,
}  # fmt: skip
