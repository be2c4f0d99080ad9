"""A network taught by its own tracks in a log without labels: what was seen again and again was there.

After ST3D (Yang et al., CVPR 2021), with tracks in place of their memory of boxes. A track that was found often and
surely teaches its boxes, also in scans where it was hardly found; what was found once or unsurely is neither taught
nor punished; the rest is background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.encode.inputs import SceneReader
from fusion_pipeline.encode.lookup import HEIGHT_PX, MAP, WIDTH_PX
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.messages import Boxes, SensorSet
from fusion_pipeline.rig import Rig
from fusion_pipeline.track.config import TrackerConfig
from fusion_pipeline.track.tracker import Tracker
from fusion_pipeline.train.rides import Ride, save

HITS, SURE, DOUBT = 5, 0.6, 0.12  # sets a track must last; its mean score; least score of what is left alone
RATE = 2e-4
Sets = Callable[[], Iterable[SensorSet]]  # the log's sets, anew each time


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was found in one set."""

    boxes: Doubles  # (N, 9) x y z l w h yaw vx vy
    labels: Ints  # (N,)
    scores: Doubles  # (N,)
    ids: Ints  # (N,) of tracks, -1 for findings that are on no track


@dataclass(frozen=True, slots=True)
class Taught:
    """How much there is to learn."""

    scans: int
    boxes: int
    tracks: int
    doubtful: int


def lessons_of(
    sets: Sets, rig: Rig, model: Path, folder: Path, every: int = 2, advance: Callable[[int], None] = lambda n: None
) -> Taught:
    """Write moments with what `model` is sure of into `folder`. Raises ValueError where that is nothing."""
    inference, tracker = Inference.load(model, rig, min_score=DOUBT), Tracker(TrackerConfig())
    seen: list[_Seen] = []
    for item in sets():
        found = inference(item)
        seen.append(_seen(found.boxes, tracker.step(found).boxes))
        advance(1)
    good = consistent(seen)
    reader, scans, boxes, doubtful = SceneReader(rig, pictures=False, sound=False), 0, 0, 0
    folder.mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(sets()):
        advance(1)
        scene = reader(item)
        if number % every or not len(scene.points_m):
            continue
        now = seen[number]
        sure = np.isin(now.ids, good)
        ride = _ride(scene.points_m, scene.intensity, now, sure, rig)
        save(ride, folder / f"{number:07d}.npz")
        scans, boxes, doubtful = scans + 1, boxes + int(sure.sum()), doubtful + int((~sure).sum())
    if not boxes:
        raise ValueError(f"no track lasts {HITS} sets with a mean score of {SURE}; there is nothing to learn from")
    return Taught(scans, boxes, len(good), doubtful)


def consistent(seen: Iterable[_Seen]) -> Ints:
    """Ids of tracks that were found often and surely."""
    scores: dict[int, list[float]] = {}
    for item in seen:
        for number, score in zip(item.ids.tolist(), item.scores.tolist(), strict=True):
            if number >= 0:
                scores.setdefault(number, []).append(score)
    return np.asarray([n for n, s in scores.items() if len(s) >= HITS and np.mean(s) >= SURE], np.int64)


def _table(boxes: Boxes) -> Doubles:
    columns = [boxes.centers_m, boxes.sizes_m, boxes.yaws_rad[:, None], boxes.velocities_mps]
    return np.column_stack(columns).astype(np.float64)


def _seen(found: Boxes, tracks: Boxes) -> _Seen:
    tracked, single = _table(tracks), _table(found)
    alone = iou_bev(single[:, :7], tracked[:, :7]).max(axis=1, initial=0.0) < 0.1
    return _Seen(
        np.concatenate([tracked, single[alone]]), np.concatenate([tracks.labels, found.labels[alone]]),
        np.concatenate([tracks.scores, found.scores[alone]]).astype(np.float64),
        np.concatenate([tracks.track_ids, np.full(int(alone.sum()), -1, np.int64)]),
    )  # fmt: skip


def _ride(points: Floats, intensity: Floats, now: _Seen, sure: Array, rig: Rig) -> Ride:
    counts = np.where(sure, [int(_inside(points, box).sum()) for box in now.boxes], 0).astype(np.int64)
    grey = cv2.imencode(".jpg", np.full((HEIGHT_PX, WIDTH_PX, 3), 114, np.uint8))[1].ravel()
    pose = next((mount.vehicle_from_sensor.matrix for mount in rig.cameras.values()), np.eye(4))
    nothing = np.zeros((0, 3), np.float32)
    return Ride(
        points, intensity, (nothing, nothing), now.boxes.astype(np.float32), now.labels, counts, 0 * counts,
        np.asarray(grey, np.uint8), np.full(MAP, 5, np.int64), np.eye(3) * 370.0, pose,
        np.zeros((16, 16, 72), np.float32), np.full((16, 16), -90.0, np.float32), np.zeros(3), np.zeros((0, 3)), False,
        np.zeros(4),
    )  # fmt: skip


def _inside(points: Floats, box: Doubles) -> Array:
    away = points - box[:3].astype(np.float32)
    c, s = np.float32(np.cos(box[6])), np.float32(np.sin(box[6]))
    along, across = c * away[:, 0] + s * away[:, 1], c * away[:, 1] - s * away[:, 0]
    half = box[3:6] / 2 + 0.1
    return np.asarray((np.abs(along) < half[0]) & (np.abs(across) < half[1]) & (np.abs(away[:, 2]) < half[2]))


def taught(weights: Path, folder: Path, run: Path, minutes: float, threads: int = 2) -> Path:
    """Train what looks at the LiDAR on `folder`, from `weights`; the checkpoint."""
    from fusion_pipeline.train.curriculum import LIDAR_ONLY
    from fusion_pipeline.train.fusion_fit import Manner, fit
    from fusion_pipeline.train.loop import Schedule
    from fusion_pipeline.train.stored import has_bf16

    manner = Manner(threads, ("camera", "audio"), LIDAR_ONLY, 1.0, half=has_bf16())
    fit(folder, run, Schedule(60 * minutes, rate=RATE), None, weights, manner)
    return run / "last.pt"
