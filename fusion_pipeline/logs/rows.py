"""Boxes and sounds as rows with plain names, for conditions such as "label = 'pedestrian' and range_m < 10"."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fusion_pipeline.messages import Detections, Tracks

Row = dict[str, object]
COLUMNS = (
    "topic", "stamp_ns", "kind", "label", "score", "track_id", "x_m", "y_m", "z_m", "range_m", "azimuth_rad",
    "length_m", "width_m", "height_m", "yaw_rad", "speed_mps",
)  # fmt: skip


def object_rows(found: Detections | Tracks) -> Iterator[Row]:
    """A row for each box (kind "box") and each sound (kind "sound"), in the vehicle frame; None where it has no such
    value.
    """
    common: Row = {**dict.fromkeys(COLUMNS), "topic": found.header.source, "stamp_ns": found.header.capture_ns}
    boxes, names = found.boxes, found.class_names
    for row, label in enumerate(boxes.labels.tolist()):
        x, y, z = boxes.centers_m[row].tolist()
        length, width, height = boxes.sizes_m[row].tolist()
        yield common | {
            "kind": "box", "label": names[label] if 0 <= label < len(names) else str(label),
            "score": float(boxes.scores[row]), "track_id": int(boxes.track_ids[row]),
            "x_m": x, "y_m": y, "z_m": z, "range_m": math.hypot(x, y), "azimuth_rad": math.atan2(y, x),
            "length_m": length, "width_m": width, "height_m": height, "yaw_rad": float(boxes.yaws_rad[row]),
            "speed_mps": math.hypot(*boxes.velocities_mps[row].tolist()),
        }  # fmt: skip
    for sound in found.sounds:
        yield common | {
            "kind": "sound", "label": sound.label, "score": sound.score, "azimuth_rad": sound.azimuth_rad,
        }  # fmt: skip
