"""What a model found in labelled frames, in the forms that the metrics take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.evaluate.kitti_frames import LabelledFrame, projected
from fusion_pipeline.messages import Detections
from fusion_pipeline.metrics import kitti
from fusion_pipeline.metrics.centre_distance import Scene

# Names that models give to the classes that the benchmark judges.
CALLED = {
    "Car": ("car", "vehicle"), "Pedestrian": ("pedestrian", "person"),
    "Cyclist": ("two-wheeler", "cyclist", "bicycle", "bike"),
}  # fmt: skip
KINDS = tuple(CALLED)
IOUS = {"Car": (0.7, 0.5), "Pedestrian": (0.5, 0.25), "Cyclist": (0.5, 0.25)}
BANDS_M = ((0.0, 20.0), (20.0, 40.0), (40.0, 70.0))
NEAR_M, SURE = 2.0, 0.3  # of findings whose errors and failures are looked at
LEAST = 0.05  # of scores whose calibration is looked at


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One frame, and what was found of it in the camera's picture."""

    frame: LabelledFrame
    found: Detections  # best first
    boxes: Doubles  # (N, 7) of `found`
    pixels: Doubles  # (N, 4) left top right bottom

    def of(self, kind: str) -> kitti.Frame:
        """For the AP of one of KINDS."""
        mine, truth = labels_of(self.found, kind), self.frame.truth
        return kitti.Frame(truth.kinds, truth.boxes, truth.heights_px, truth.occlusion, truth.truncation,
                           self.boxes[mine], self.found.boxes.scores[mine].astype(np.float64), self.pixels[mine],
                           truth.dont_care_px)  # fmt: skip

    def scene(self, kind: str, level: kitti.Level) -> Scene:
        """For the centre-distance AP of one of KINDS; what the level ignores counts neither way."""
        as_frame = self.of(kind)
        role = kitti.roles(as_frame, kind, level)
        there, use = role != kitti.ANOTHER, ~kitti.low(as_frame, level)
        still = np.zeros((len(as_frame.boxes), 2))
        found = np.column_stack([as_frame.found, np.zeros((len(as_frame.found), 2))])
        return Scene(np.column_stack([as_frame.boxes, still])[there], (role == kitti.IGNORED)[there], found[use],
                     as_frame.scores[use])  # fmt: skip


def labels_of(found: Detections, kind: str) -> Array:
    """(N,) whether a box is called as one of KINDS."""
    names = [number for number, name in enumerate(found.class_names) if name.lower() in CALLED[kind]]
    return np.isin(found.boxes.labels, names)


def look(frame: LabelledFrame, found: Detections) -> Judged:
    """The findings whose middle is in the camera's picture: nothing else is labelled in KITTI."""
    rows = found.boxes
    boxes = np.column_stack([rows.centers_m, rows.sizes_m, rows.yaws_rad]).astype(np.float64)
    calibration = frame.calibration
    flat = np.column_stack([calibration.vehicle_from_rectified.inverse().apply(boxes[:, :3]), np.ones(len(boxes))])
    ahead = flat @ calibration.projection.T
    across, down = (ahead[:, :2] / np.maximum(ahead[:, 2:], 0.1)).T.reshape(2, -1)
    width, height = calibration.size_px
    seen = (ahead[:, 2] > 0.1) & (across > 0) & (across < width) & (down > 0) & (down < 2 * height)
    keep = np.flatnonzero(seen)
    kept = Detections(found.header, found.class_names, rows.take(keep), found.sounds, found.sources, found.missing)
    return Judged(frame, kept, boxes[keep], projected(boxes[keep], calibration))


@dataclass(frozen=True, slots=True, eq=False)
class Sureness:
    """Scores and whether each is right, and of those right and sure how far off they are."""

    scores: Doubles  # (N,)
    right: Array  # (N,)
    range_m: Doubles  # (N,)
    errors: Doubles  # (K, 7) x y z l w h yaw
    sigmas: Doubles  # (K, 7)


def sureness(frames: Sequence[Judged]) -> Sureness:
    """Of all three classes: right is a truth of the class within 2 m. What hard truth, neighbours, DontCare or a low
    box make doubtful is left out.
    """
    rows: list[tuple[float, bool, float]] = []
    errors: list[Doubles] = []
    sigmas: list[Doubles] = []
    for item in frames:
        for kind in KINDS:
            frame, mine = item.of(kind), np.flatnonzero(labels_of(item.found, kind))
            role = kitti.roles(frame, kind, kitti.HARD)
            doubtful = kitti.low(frame, kitti.HARD) | kitti.excused(frame, 0.5)
            apart = np.linalg.norm(frame.found[:, None, :2] - frame.boxes[None, :, :2], axis=2)
            for i, number in enumerate(mine):
                score = float(frame.scores[i])
                near = np.where(role != kitti.ANOTHER, apart[i], np.inf) if len(role) else np.full(1, np.inf)
                best, hit = int(near.argmin()), float(near.min()) < NEAR_M
                if score < LEAST or (hit and role[best] == kitti.IGNORED) or (not hit and doubtful[i]):
                    continue
                rows.append((score, hit, float(np.hypot(*frame.found[i, :2]))))
                if hit and score >= SURE:
                    gap = frame.found[i] - frame.boxes[best]
                    gap[6] = np.angle(np.exp(2j * gap[6])) / 2  # a body looks alike from both ends
                    errors.append(gap)
                    sigmas.append(item.found.boxes.std[number, :7].astype(np.float64))
    table = np.asarray(rows, np.float64).reshape(-1, 3)
    return Sureness(table[:, 0], table[:, 1] > 0, table[:, 2], np.asarray(errors, np.float64).reshape(-1, 7),
                    np.asarray(sigmas, np.float64).reshape(-1, 7))  # fmt: skip
