"""How good it is what a network says of simulated moments: accuracy, honesty, sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.encode.grid import BevGrid
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.metrics import centre_distance as distance
from fusion_pipeline.metrics.kitti import MODERATE, Frame, average_precision, interval
from fusion_pipeline.train.judge import Found, Mix
from fusion_pipeline.train.lessons import MIN_PIXELS, MIN_POINTS
from fusion_pipeline.train.rides import AUDIBLE_DB, FAINT_DB, Ride

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
FAR_M = 40.0


def _inside(boxes: Floats, grid: BevGrid) -> Array:
    (x0, x1), (y0, y1) = grid.x_m, grid.y_m
    return (boxes[:, 0] > x0) & (boxes[:, 0] < x1) & (boxes[:, 1] > y0) & (boxes[:, 1] < y1)


def wanted(ride: Ride) -> Array:
    """(M,) whether enough of a thing is seen by LiDAR or camera."""
    seen = (ride.points >= MIN_POINTS) | (ride.pixels >= MIN_PIXELS)
    return np.asarray(seen & _inside(ride.boxes, ride.grid), bool)


def frame_of(ride: Ride, found: Found, label: int, near_m: float = 0.0, far_m: float = 1e9) -> Frame:
    """As a KITTI frame: what is hardly seen, or at another range, counts neither way."""
    own = ride.labels == label
    boxes = ride.boxes[own].astype(np.float64)
    reach = np.hypot(boxes[:, 0], boxes[:, 1])
    counts = wanted(ride)[own] & (reach >= near_m) & (reach < far_m)
    mine = found.labels == label
    away = np.hypot(found.boxes[mine, 0], found.boxes[mine, 1])
    within = (away >= near_m * 0.95) & (away < far_m * 1.05)
    n = int(within.sum())
    return Frame(
        kinds=tuple("Car" for _ in range(len(boxes))), boxes=boxes[:, :7], heights_px=np.full(len(boxes), 99.0),
        occlusion=np.where(counts, 0, 9), truncation=np.zeros(len(boxes)), found=found.boxes[mine][within][:, :7],
        scores=found.scores[mine][within], found_px=np.tile([0.0, 0, 99, 99], (n, 1)), dont_care_px=np.zeros((0, 4)),
    )  # fmt: skip


def scene_of(ride: Ride, found: Found, label: int, mix: Mix = (1, 1, 1)) -> distance.Scene:
    """For centre-distance AP. Without a LiDAR in `mix` only what the camera sees counts."""
    own, mine = ride.labels == label, found.labels == label
    counts = wanted(ride) if mix[0] else wanted(ride) & (ride.pixels >= MIN_PIXELS)
    return distance.Scene(ride.boxes[own].astype(np.float64), ~counts[own], found.boxes[mine],
                          found.scores[mine])  # fmt: skip


def car_ap(rides: Sequence[Ride], found: Sequence[Found], iou: float = 0.7, **ranges: float) -> float:
    """BEV AP of cars, R40, in percent."""
    frames = [frame_of(r, f, 0, **ranges) for r, f in zip(rides, found, strict=True)]
    return average_precision(frames, "Car", MODERATE, iou, True)


def car_interval(rides: Sequence[Ride], found: Sequence[Found], iou: float = 0.7) -> tuple[float, float]:
    """Its 95 % interval."""
    frames = [frame_of(r, f, 0) for r, f in zip(rides, found, strict=True)]
    return interval(frames, "Car", MODERATE, iou, True, draws=200)


def mean_ap(rides: Sequence[Ride], found: Sequence[Found], far_m: float = 2.0, mix: Mix = (1, 1, 1)) -> float:
    """Centre-distance AP over car, truck, pedestrian and two-wheeler."""
    values = [
        distance.average_precision([scene_of(r, f, label, mix) for r, f in zip(rides, found, strict=True)], far_m)
        for label in range(4)
    ]
    return float(np.nanmean(values))


def retention(means: Mapping[Mix, float]) -> float:
    """Of mAP by subset of the senses, the mean over that of all senses."""
    return sum(means.values()) / len(means) / max(means[1, 1, 1], 1e-9)


def pictured_iou(rides: Sequence[Ride], found: Sequence[Found]) -> Doubles:
    """(4,) intersection over union of the parts of the pictures that show car, truck, pedestrian and two-wheeler."""
    true, said = np.stack([ride.classes for ride in rides]), np.stack([out.pictured for out in found])
    both = [((true == k) & (said == k)).sum() / max(((true == k) | (said == k)).sum(), 1) for k in range(4)]
    return np.asarray(both, np.float64)


def leave_one_out(rides: Sequence[Ride], by_mix: dict[tuple[int, int, int], list[Found]]) -> tuple[Doubles, Doubles]:
    """(K,) shares and (K,) drops of score of true findings, one pair for each present sense."""
    shares, drops = [], []
    for number, ride in enumerate(rides):
        full = by_mix[1, 1, 1][number]
        if not len(full.scores) or not len(ride.boxes):
            continue
        overlap = iou_bev(full.boxes[:, :7], ride.boxes[:, :7].astype(np.float64))
        true = np.flatnonzero((overlap.max(axis=1) > 0.3) & (full.scores > 0.3))
        for sense in range(3):
            without = by_mix[int(sense != 0), int(sense != 1), int(sense != 2)][number]
            for i in true:
                near = np.flatnonzero(
                    (np.hypot(*(without.boxes[:, :2] - full.boxes[i, :2]).T) < 2.0) & (without.labels == full.labels[i])
                )
                left = float(without.scores[near].max()) if len(near) else 0.0
                shares.append(full.attr[i, sense])
                drops.append(max(float(full.scores[i]) - left, 0.0))
    return np.asarray(shares), np.asarray(drops)


def judged_scores(rides: Sequence[Ride], found: Sequence[Found]) -> tuple[Doubles, Array, Doubles, Doubles]:
    """Scores (N,) and whether each is right: a truth of its class within 2 m. What is hardly seen counts neither way.

    And of those right and above 0.3 errors and sigmas (K, 8): x y z l w h yaw speed.
    """
    scores, right, errors, sigmas = [], [], [], []
    for ride, out in zip(rides, found, strict=True):
        if not len(out.scores) or not len(ride.labels):
            scores.append(out.scores)
            right.append(np.zeros(len(out.scores), bool))
            continue
        truth = ride.boxes.astype(np.float64)
        apart = np.linalg.norm(out.boxes[:, None, :2] - truth[None, :, :2], axis=2)
        close = np.where(out.labels[:, None] == ride.labels[None], apart, np.inf)
        best, hit = close.argmin(axis=1), close.min(axis=1) < 2.0
        counts = ~hit | wanted(ride)[best]
        scores.append(out.scores[counts])
        right.append(hit[counts])
        for i in np.flatnonzero(hit & counts & (out.scores > 0.3)):
            gap = out.boxes[i] - truth[best[i]]
            turn = np.angle(np.exp(2j * gap[6])) / 2  # a body looks alike from both ends
            errors.append([*gap[:6], turn, np.hypot(gap[7], gap[8])])
            sigmas.append(out.std[i])
    return np.concatenate(scores), np.concatenate(right), np.asarray(errors), np.asarray(sigmas)


def siren_azimuths(rides: Sequence[Ride], found: Sequence[Found]) -> Doubles:
    """(K,) degrees by which the loudest azimuth of "siren" misses the nearest audible siren."""
    errors = []
    for ride, out in zip(rides, found, strict=True):
        sirens = ride.sounds[(ride.sounds[:, 0] == 0) & (ride.sounds[:, 2] >= AUDIBLE_DB)]
        if len(sirens) and out.events[0].max() > 0.5:
            azimuth = np.deg2rad(5.0 * float(out.events[0].argmax()))
            gaps = np.abs(np.angle(np.exp(1j * (sirens[:, 1] - azimuth))))
            errors.append(float(np.rad2deg(gaps.min())))
    return np.asarray(errors)


def event_ap(rides: Sequence[Ride], found: Sequence[Found]) -> dict[int, tuple[float, int]]:
    """By class of sound: AP of peaks within 20 degrees, and how many are audible."""
    out: dict[int, tuple[float, int]] = {}
    for label in range(8):
        scenes = []
        for ride, said in zip(rides, found, strict=True):
            rows = ride.sounds[(ride.sounds[:, 0] == label) & (ride.sounds[:, 2] >= FAINT_DB)]
            truth = np.zeros((len(rows), 9))
            truth[:, :2] = np.stack([np.cos(rows[:, 1]), np.sin(rows[:, 1])], axis=1)
            truth[:, 3:6] = 1
            peaks = _peaks(said.events[label])
            boxes = np.zeros((len(peaks), 9))
            boxes[:, :2] = np.stack([np.cos(np.deg2rad(5.0 * peaks)), np.sin(np.deg2rad(5.0 * peaks))], axis=1)
            boxes[:, 3:6] = 1
            scenes.append(distance.Scene(truth, rows[:, 2] < AUDIBLE_DB, boxes, said.events[label][peaks]))
        result = distance.matched(scenes, 2 * float(np.sin(np.deg2rad(10.0))))
        out[label] = (distance.precision_of(result), result.wanted)
    return out


def _peaks(row: Doubles) -> Array:
    left, found = row.copy(), list[int]()
    while left.max() > 0.05 and len(found) < 6:
        peak = int(left.argmax())
        found.append(peak)
        left[(peak + np.arange(-5, 6)) % len(row)] = 0
    return np.asarray(found, np.int64)
