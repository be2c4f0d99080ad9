"""Result files, one line of JSON for each sensor set, as `fusion replay --out` writes them, read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import Boxes, Detections, Header, SoundEvent, SourceStamp, Tracks
from fusion_pipeline.messages.detections import MODALITIES

SOURCES = ("tracks", "detections", "truth")  # topics of a log that are looked for, the first that is there


def read_results(path: Path, topic: str = "") -> Iterator[Tracks | Detections]:
    """Of a .jsonl file its lines; of a log the messages of `topic`, or of the first of tracks, detections and truth,
    or its labels, as tracks. Raises LogError.
    """
    if path.suffix == ".jsonl":
        return read_lines(path)
    log = open_log(path)
    held = getattr(log, "results", ())
    chosen = topic or next((name for name in SOURCES if name in held), "labels")
    if chosen == "labels":
        return (found.tracks() for found in log.labels())
    if chosen not in held:
        raise LogError(f"{path} has no topic {chosen!r}; it has {', '.join(held) or 'no results'}")
    return (found for found in log.messages(topics=(chosen,)) if isinstance(found, (Tracks, Detections)))


def read_lines(path: Path) -> Iterator[Tracks]:
    """Each line as tracks; those of detections have `track_ids` -1. Raises LogError naming a line that is none."""
    names: list[str] = []  # class names as they appear: the same label has the same number in every set
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                number += 1
                if text.strip():
                    yield _set(parse_json(text), names)
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        said = f"it lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise LogError(f"{path}, line {number}: no line of results: {said}") from None


def _set(row: dict[str, Any], names: list[str]) -> Tracks:
    found = row["objects"]
    for item in found:
        if item["label"] not in names:
            names.append(str(item["label"]))
    n = len(found)

    def column(key: str, width: int) -> Array:
        return np.asarray([item[key] for item in found], np.float32).reshape((n, width) if width > 1 else (n,))

    shares = [[item["attribution"][name] for name in MODALITIES] for item in found]
    boxes = Boxes(
        centers_m=column("center_m", 3), sizes_m=column("size_m", 3), yaws_rad=column("yaw_rad", 1),
        velocities_mps=column("velocity_mps", 2), scores=column("score", 1),
        labels=np.asarray([names.index(str(item["label"])) for item in found], np.int64), std=column("std", 8),
        attribution=np.asarray(shares, np.float32).reshape(n, 3),
        track_ids=np.asarray([item["track_id"] for item in found], np.int64),
    )  # fmt: skip
    stamp = int(row["stamp_ns"])
    sounds = tuple(SoundEvent(str(s["label"]), float(s["score"]), float(s["azimuth_rad"])) for s in row["sounds"])
    sources = tuple(
        SourceStamp(name, int(entry["capture_ns"]), int(entry["capture_ns"]) - stamp)
        for name, entry in row["sources"].items()
    )
    missing = tuple(str(text) for text in row.get("missing", ()))
    known = bool(found) and all("coasting_s" in item for item in found)
    coasting = tuple(float(item["coasting_s"]) for item in found) if known else ()
    header = Header("tracks", stamp, stamp, str(row["frame"]))
    return Tracks(header, tuple(names), boxes, sounds, sources, missing, coasting_s=coasting)
