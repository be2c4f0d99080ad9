"""Tracks of one log against its labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.messages import Boxes, Tracks
from fusion_pipeline.metrics.centre_distance import Scene, matched
from fusion_pipeline.metrics.tracking import Instant, judged

NEAR_NS = 60_000_000  # tracks and labels farther apart in time are not compared
SEEN = 0.2  # less of an object in sight, and it is neither wanted nor false
CLASS_OF = {
    "car": "car", "van": "car", "truck": "truck", "bus": "truck", "tram": "truck", "trailer": "truck",
    "pedestrian": "pedestrian", "person": "pedestrian", "person_sitting": "pedestrian", "cyclist": "two-wheeler",
    "bicycle": "two-wheeler", "motorcycle": "two-wheeler", "two-wheeler": "two-wheeler", "bicyclist": "two-wheeler",
}  # fmt: skip


def scored(
    labels: Sequence[Labels], tracks: Sequence[Tracks], distance_m: float, range_m: float
) -> Iterator[dict[str, object]]:
    """A row for each class that is labelled or found, and one for all (class ""), over the instants labelled."""
    pairs = _paired(labels, tracks)
    names = {_class(n) for pair in pairs for one in pair for n in _present(one)}
    for name in ["", *sorted(names)]:
        scenes, instants = [], []
        for truth, found in pairs:
            wanted, ids, ignored = _of(truth, name, range_m)
            rows, track_ids, _ = _of(found, name, range_m)
            kept = found.boxes.scores[_chosen(found, name, range_m)].astype(np.float64)
            scenes.append(Scene(wanted, ignored, rows, kept))
            instants.append(Instant(ids[~ignored], wanted[~ignored, :7], track_ids, rows[:, :7]))
        result = matched(scenes, distance_m)
        right = int(result.right.sum())
        following = judged(instants)
        yield {
            "class": name, "instants": len(pairs), "labelled": result.wanted, "found": len(result.right),
            "right": right,
            "recall": right / max(result.wanted, 1), "precision": right / max(len(result.right), 1),
            "error_m": float(result.errors[:, 0].mean()) if len(result.errors) else None,
            "hota": following.hota, "mota": following.mota, "idf1": following.idf1, "switches": following.switches,
        }  # fmt: skip


def _paired(labels: Sequence[Labels], tracks: Sequence[Tracks]) -> list[tuple[Labels, Tracks]]:
    """The tracks nearest in time to each instant that has labels."""
    stamps = np.asarray([one.header.capture_ns for one in tracks], np.int64)
    pairs = []
    for truth in labels if len(stamps) else ():
        nearest = int(np.abs(stamps - truth.header.capture_ns).argmin())
        if abs(int(stamps[nearest]) - truth.header.capture_ns) <= NEAR_NS:
            pairs.append((truth, tracks[nearest]))
    return pairs


def _present(one: Labels | Tracks) -> set[str]:
    return {one.class_names[label] for label in one.boxes.labels.tolist() if 0 <= label < len(one.class_names)}


def _class(name: str) -> str:
    return CLASS_OF.get(name.lower(), "other")


def _chosen(one: Labels | Tracks, name: str, range_m: float) -> Array:
    """(N,) bool: of the class, and near enough."""
    classes = [_class(label) for label in one.class_names]
    boxes = one.boxes
    near = np.hypot(boxes.centers_m[:, 0], boxes.centers_m[:, 1]) <= range_m
    same = [not name or (0 <= k < len(classes) and classes[k] == name) for k in boxes.labels.tolist()]
    return np.asarray(near & np.asarray(same, np.bool_), np.bool_)


def _of(one: Labels | Tracks, name: str, range_m: float) -> tuple[Doubles, Array, Array]:
    """(N, 9) rows x y z l w h yaw vx vy, (N,) identities, (N,) whether hardly in sight, of what is chosen."""
    chosen = _chosen(one, name, range_m)
    boxes: Boxes = one.boxes.take(np.flatnonzero(chosen))
    rows = np.column_stack([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad, boxes.velocities_mps]).astype(np.float64)
    hidden = np.zeros(len(boxes), np.bool_)
    if isinstance(one, Labels):
        hidden = (one.visible[chosen] < SEEN) | (one.points[chosen] == 0)
    ids = boxes.track_ids
    return rows, np.where(ids < 0, np.arange(len(ids)) + 1_000_000, ids), hidden
