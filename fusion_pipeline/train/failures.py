"""The moments at which a network did worst, ready to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.encode.lookup import HEIGHT_PX, WIDTH_PX
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import Boxes, Detections, Header
from fusion_pipeline.rig import CameraMount
from fusion_pipeline.train.accuracy import CLASSES, wanted
from fusion_pipeline.train.judge import Found
from fusion_pipeline.train.rides import Ride

NEAR_M, SURE = 2.0, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """One moment: what was found, what was there, and what is wrong, in lines."""

    number: int
    missed: tuple[str, ...]  # a line for each
    false: tuple[str, ...]
    ride: Ride
    found: Detections
    truth: Doubles  # (M, 7) of all that could be seen
    missed_boxes: Doubles  # (K, 7)
    camera: CameraMount


def worst(rides: Sequence[Ride], found: Sequence[Found], count: int) -> Iterator[Failure]:
    """The `count` moments with the most missed and false, the worst first."""
    judged = [_judged(ride, out) for ride, out in zip(rides, found, strict=True)]
    order = sorted(range(len(rides)), key=lambda k: -sum(len(rows) for rows in judged[k]))
    for number in order[:count]:
        missed, false = judged[number]
        if not len(missed) + len(false):
            return
        ride, out = rides[number], found[number]
        model = CameraModel("pinhole", WIDTH_PX, HEIGHT_PX, ride.matrix, np.zeros(0))
        mount = CameraMount(Pose(ride.camera[:3, :3], ride.camera[:3, 3]), model)
        boxes = ride.boxes[:, :7].astype(np.float64)
        yield Failure(
            number, tuple(f"{CLASSES[ride.labels[i]]} {_at(boxes[i])}" for i in missed),
            tuple(f"{CLASSES[out.labels[i]]} {_at(out.boxes[i])}, score {out.scores[i]:.2f}" for i in false),
            ride, _detections(out), boxes[wanted(ride)], boxes[missed], mount,
        )  # fmt: skip


def _judged(ride: Ride, out: Found) -> tuple[Array, Array]:
    """Which seen things were missed, and which sure boxes lie where nothing is."""
    sure = out.scores >= SURE
    apart = np.linalg.norm(out.boxes[:, None, :2] - ride.boxes[None, :, :2], axis=2)
    same = out.labels[:, None] == ride.labels[None]
    hit = ((apart < NEAR_M) & same & sure[:, None]).any(axis=0)
    return np.flatnonzero(wanted(ride) & ~hit), np.flatnonzero(sure & (apart.min(axis=1, initial=np.inf) > NEAR_M))


def _at(box: Array) -> str:
    x, y = (float(value) for value in box[:2])
    return f"{np.hypot(x, y):.0f} m away (x {x:.1f}, y {y:.1f})"


def _detections(out: Found) -> Detections:
    keep = np.flatnonzero(out.scores >= SURE)
    rows = out.boxes[keep].astype(np.float32)
    boxes = Boxes(
        rows[:, :3].copy(), rows[:, 3:6].copy(), rows[:, 6].copy(), rows[:, 7:9].copy(),
        out.scores[keep].astype(np.float32), out.labels[keep].astype(np.int64), out.std[keep].astype(np.float32),
        out.attr[keep].astype(np.float32), np.full(len(keep), -1, np.int64),
    )  # fmt: skip
    return Detections(Header("detections", 0, 0), CLASSES, boxes, (), (), (), ())
