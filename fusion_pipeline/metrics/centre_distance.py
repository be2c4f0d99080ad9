"""nuScenes-style average precision: found where the centres lie within a distance on the ground, whatever the overlap.

As in nuScenes' detection task (Caesar et al., 2020): findings in the order of their scores take the nearest truth still
free within the distance; precision is read at 101 recalls, those up to 0.1 and precisions under 0.1 are cut off,
and the rest is stretched to 0 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.metrics.kitti import drawn, percentiles

CUT = 0.1  # recall and precision below it do not count
DISTANCES_M = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Truth and findings of one frame, for one class."""

    truth: Doubles  # (M, 9) x y z l w h yaw vx vy
    ignored: Array  # (M,) bool: neither wanted nor false when found
    found: Doubles  # (N, 9)
    scores: Doubles  # (N,)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Findings of all frames that count, the surest first."""

    right: Array  # (N,) bool
    scores: Doubles  # (N,)
    errors: Doubles  # (K, 4) of those right: metres on the ground, 1 - IoU of aligned boxes, radians, m/s
    wanted: int
    frame: Array  # (N,) which of the scenes
    wanted_in: Array  # (F,) of each scene


def matched(scenes: Sequence[Scene], distance_m: float) -> Matches:
    """Which findings are right, in one list."""
    right: list[bool] = []
    scores: list[float] = []
    errors: list[tuple[float, ...]] = []
    frame: list[int] = []
    for number, scene in enumerate(scenes):
        free = np.ones(len(scene.truth), bool)
        apart = np.linalg.norm(scene.found[:, None, :2] - scene.truth[None, :, :2], axis=2)
        for i in np.argsort(-scene.scores, kind="stable"):
            row = np.where(free, apart[i], np.inf)
            j = int(row.argmin()) if len(row) else -1
            hit = j >= 0 and row[j] < distance_m
            if hit:
                free[j] = False
                if scene.ignored[j]:
                    continue
                errors.append(_errors(scene.found[i], scene.truth[j]))
            right.append(hit)
            scores.append(float(scene.scores[i]))
            frame.append(number)
    order = np.argsort(-np.asarray(scores), kind="stable") if scores else np.zeros(0, np.int64)
    wanted = np.asarray([int((~scene.ignored).sum()) for scene in scenes], np.int64)
    return Matches(np.asarray(right, bool)[order], np.asarray(scores, np.float64)[order],
                   np.asarray(errors, np.float64).reshape(-1, 4), int(wanted.sum()),
                   np.asarray(frame, np.int64)[order], wanted)  # fmt: skip


def precision_of(matches: Matches, weights: Array | None = None) -> float:
    """AP in percent; NaN where nothing is wanted. `weights` (F,) says how often each scene is there."""
    times = np.ones(len(matches.right)) if weights is None else weights[matches.frame]
    wanted = matches.wanted if weights is None else (weights * matches.wanted_in).sum()
    if not wanted:
        return float("nan")
    hits = np.cumsum(times * matches.right)
    recall, precision = hits / wanted, hits / np.maximum(np.cumsum(times), 1e-9)
    best = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
    at = np.searchsorted(recall, np.linspace(0, 1, 101) - 1e-12)
    values = np.where(at < len(best), best[np.minimum(at, len(best) - 1)], 0.0) if len(best) else np.zeros(101)
    kept = np.clip(values[round(100 * CUT) + 1 :] - CUT, 0, None) / (1 - CUT)
    return float(100 * kept.mean())


def average_precision(scenes: Sequence[Scene], distance_m: float) -> float:
    """AP in percent at a centre distance; NaN where nothing is wanted."""
    return precision_of(matched(scenes, distance_m))


def interval(scenes: Sequence[Scene], distance_m: float, draws: int = 200, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the AP, drawing whole frames."""
    matches = matched(scenes, distance_m)
    return percentiles([precision_of(matches, weights) for weights in drawn(len(scenes), draws, seed)])


def score(classes: Sequence[Sequence[Scene]]) -> tuple[float, float, Doubles]:
    """mAP (0 to 1), NDS without its attribute error, and the errors ATE m, ASE, AOE rad, AVE m/s.

    nuScenes weighs mAP five times and each of five errors once; here the four errors without attributes are left, so
    NDS = (5 mAP + sum of (1 - min(1, error))) / 9. Errors are those at 2 m, averaged over the classes that have any.
    """
    values = [average_precision(scenes, far) for scenes in classes for far in DISTANCES_M]
    precision = float(np.nanmean(values)) / 100
    per_class = [matched(scenes, 2.0).errors for scenes in classes]
    errors = np.asarray([part.mean(axis=0) for part in per_class if len(part)]).reshape(-1, 4)
    mean = errors.mean(axis=0) if len(errors) else np.ones(4)
    return precision, float((5 * precision + (1 - np.minimum(mean, 1)).sum()) / 9), mean


def _errors(found: Doubles, truth: Doubles) -> tuple[float, ...]:
    shared = np.minimum(found[3:6], truth[3:6]).prod()
    aligned = shared / (found[3:6].prod() + truth[3:6].prod() - shared)
    turn = abs(float(np.angle(np.exp(1j * (found[6] - truth[6])))))
    speed = float(np.linalg.norm(found[7:9] - truth[7:9]))
    return float(np.linalg.norm(found[:2] - truth[:2])), 1 - float(aligned), turn, speed
