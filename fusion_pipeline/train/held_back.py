"""Whether an adapted network is worse than the one it was made of, measured without labels on scans held back.

Each scan is shown to a network twice, as it is and mirrored across the vehicle's long axis. A street and its mirror
image hold the same things, so that a network that knows the sensor finds the same boxes in both. How far they agree is
the measure: the overlap of matched boxes weighted by score, 0 to 1. It asks for agreement of a network with itself,
not with the truth: one that finds nothing in either view has no value, and the number of boxes is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.messages import Boxes, Header, LidarScan, SensorSet
from fusion_pipeline.rig import Rig

MIN_SCORE = 0.2  # boxes below it are left out
MIN_IOU = 0.1  # bird's-eye overlap from which two boxes of a class are matched
SAME = 0.6  # share of occupied places in common from which two scans show the same scene
FEWEST = 0.5  # share of the original's boxes that an adapted network must still find
LEAST_CELLS = 20  # occupied places of a scan that shows anything
_BODY = slice(8, 28)  # channels of the raster: points 0.4 to 2.3 m above the ground


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Of one network on N scans."""

    values: Doubles  # (N,) agreement with the mirrored view; NaN where neither view has a box
    boxes: float  # mean number in a scan


@dataclass(frozen=True, slots=True)
class Comparison:
    """An adapted network beside the original on the same scans."""

    scans: int
    original: float  # mean agreement
    adapted: float
    noise: float  # standard error of the mean difference over scans
    original_boxes: float
    adapted_boxes: float

    @property
    def worse(self) -> bool:
        """Whether the adapted one agrees less by more than the noise, has lost most boxes, or cannot be compared."""
        fewer = self.adapted_boxes < FEWEST * self.original_boxes
        return fewer or not self.adapted - self.original >= -self.noise

    def __str__(self) -> str:
        return (
            f"agreement with the mirrored view on {self.scans} scans held back: original {self.original:.3f} "
            f"({self.original_boxes:.1f} boxes a scan), adapted {self.adapted:.3f} ({self.adapted_boxes:.1f} boxes), "
            f"noise {self.noise:.3f}"
        )


class Scenes:
    """Which scans show a scene that no earlier one has shown: a standing vehicle's are nearly all alike."""

    def __init__(self) -> None:
        self._seen: list[Array] = []

    def is_new(self, raster: Floats) -> bool:
        """Whether a raster (64, h, w) shares less than SAME of its occupied places with each earlier new one."""
        places = occupied(raster)
        if places.sum() < LEAST_CELLS:
            return False
        if self._seen:
            seen = np.stack(self._seen)
            common = (seen & places).sum(axis=(1, 2)) / (seen | places).sum(axis=(1, 2))
            if common.max() >= SAME:
                return False
        self._seen.append(places)
        return True


def occupied(raster: Floats) -> Array:
    """(h / 2, w / 2) whether a place of 0.8 m holds a point 0.4 to 2.3 m above the ground."""
    _, h, w = raster.shape
    cells = raster[_BODY].max(axis=0) > 0
    return np.asarray(cells.reshape(h // 2, 2, w // 2, 2).any(axis=(1, 3)))


def compared(
    original: Path, adapted: Path, rig: Rig, scans: Sequence[LidarScan], advance: Callable[[int], None] = lambda n: None
) -> Comparison:
    """Both networks, ONNX files with manifests, on the same scans."""
    before, after = (agreement(model, rig, scans, advance) for model in (original, adapted))
    both = np.isfinite(before.values) & np.isfinite(after.values)
    gain = after.values[both] - before.values[both]
    noise = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else 0.0
    means = [float(part.values[both].mean()) if both.any() else float("nan") for part in (before, after)]
    return Comparison(int(both.sum()), means[0], means[1], noise, before.boxes, after.boxes)


def agreement(
    model: Path, rig: Rig, scans: Sequence[LidarScan], advance: Callable[[int], None] = lambda n: None
) -> Agreement:
    """How far a network finds the same in scans and in their mirror images, from the LiDAR alone."""
    inference = Inference.load(model, rig, MIN_SCORE, threads=2)
    values, count = [], 0
    for scan in scans:
        own, other = _found(inference, scan), _found(inference, mirrored(scan, rig))
        values.append(overlap(own, _mirrored_boxes(other)))
        count += len(own.scores)
        advance(1)
    return Agreement(np.asarray(values, np.float64), count / max(len(scans), 1))


def mirrored(scan: LidarScan, rig: Rig) -> LidarScan:
    """The scan with left and right of the vehicle exchanged."""
    pose = rig.lidars[scan.header.source].vehicle_from_sensor
    there = pose.apply(scan.xyz_m) * np.asarray([1.0, -1.0, 1.0])
    return replace(scan, xyz_m=np.asarray(pose.inverse().apply(there), np.float32))


def overlap(own: Boxes, other: Boxes) -> float:
    """Overlap of matched boxes weighted by score, 0 to 1; NaN where there are none."""
    total = float(own.scores.sum() + other.scores.sum())
    if total == 0.0:
        return float("nan")
    left = iou_bev(_table(own), _table(other)) * (own.labels[:, None] == other.labels[None])
    shared = 0.0
    while left.size and left.max() > MIN_IOU:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        shared += float(left[row, column] * (own.scores[row] + other.scores[column]))
        left[row], left[:, column] = 0.0, 0.0
    return shared / total


def _found(inference: Inference, scan: LidarScan) -> Boxes:
    inference.forget()
    at = scan.header.capture_ns
    return inference(SensorSet(Header("set", at, at), (scan,))).boxes


def _mirrored_boxes(boxes: Boxes) -> Boxes:
    centers = boxes.centers_m * np.asarray([1, -1, 1], np.float32)
    return replace(boxes, centers_m=centers, yaws_rad=-boxes.yaws_rad)


def _table(boxes: Boxes) -> Doubles:
    return np.column_stack([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad]).astype(np.float64)
