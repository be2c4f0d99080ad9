"""KITTI's average precision at 40 recall points, from above and in space, with its rules of what is ignored.

Rules as in the benchmark's own evaluation (Geiger et al., 2012; 40 points since 2019): truth of a neighbouring class,
or harder than the level, counts neither way; found boxes lower than the level's least height in the picture, or lying
in DontCare regions, are not false. Bootstrap intervals draw whole frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.geometry.boxes import iou_3d, iou_bev


@dataclass(frozen=True, slots=True)
class Level:
    """What a truth box must be to count."""

    name: str
    height_px: float
    occlusion: int
    truncation: float


EASY = Level("easy", 40, 0, 0.15)
MODERATE = Level("moderate", 25, 1, 0.3)
HARD = Level("hard", 25, 2, 0.5)
NEIGHBOURS = {"Car": ("Van",), "Pedestrian": ("Person_sitting",)}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Truth and findings of one frame, for one class of findings. Boxes are x y z l w h yaw."""

    kinds: tuple[str, ...]  # (M,) KITTI's type of each truth box, DontCare left out
    boxes: Doubles  # (M, 7)
    heights_px: Doubles  # (M,) in the picture
    occlusion: Array  # (M,)
    truncation: Doubles  # (M,)
    found: Doubles  # (N, 7)
    scores: Doubles  # (N,)
    found_px: Doubles  # (N, 4) left top right bottom in the picture
    dont_care_px: Doubles  # (K, 4)


def average_precision(frames: Sequence[Frame], kind: str, level: Level, iou: float, bev: bool) -> float:
    """AP R40 in percent; NaN where no truth counts."""
    per_frame = [_judge(frame, kind, level, iou, bev) for frame in frames]
    return _precision(per_frame)


def interval(
    frames: Sequence[Frame], kind: str, level: Level, iou: float, bev: bool, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the AP, drawing whole frames."""
    judged = [_judge(frame, kind, level, iou, bev) for frame in frames]
    rng = np.random.default_rng(seed)
    values = [_precision([judged[i] for i in rng.integers(0, len(judged), len(judged))]) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def counted(frames: Sequence[Frame], kind: str, level: Level) -> int:
    """How many truth boxes count."""
    return sum(int((_roles(frame, kind, level) == 0).sum()) for frame in frames)


def _roles(frame: Frame, kind: str, level: Level) -> Array:
    """(M,) 0 counts, 1 ignored, -1 of another class."""
    kinds = np.asarray(frame.kinds, dtype=object)
    own, near = kinds == kind, np.isin(kinds, NEIGHBOURS.get(kind, ()))
    hard = (frame.heights_px < level.height_px) | (frame.occlusion > level.occlusion)
    hard |= frame.truncation > level.truncation
    return np.where(own & ~hard, 0, np.where(own | near, 1, -1))


def _judge(frame: Frame, kind: str, level: Level, iou: float, bev: bool) -> tuple[Doubles, Array, int]:
    """Scores of the findings that count, whether each is right, and how many truths count."""
    roles = _roles(frame, kind, level)
    truths, found = len(roles), len(frame.scores)
    if not found:
        return np.zeros(0), np.zeros(0, bool), int((roles == 0).sum())
    overlap = (iou_bev if bev else iou_3d)(frame.found, frame.boxes) if truths else np.zeros((found, 0))
    taken = np.zeros(truths, bool)
    verdict = np.full(found, -1)  # -1 false, 0 does not count, 1 right
    for i in np.argsort(-frame.scores, kind="stable"):
        order = [j for j in np.argsort(-overlap[i], kind="stable") if overlap[i, j] >= iou and not taken[j]]
        best = next((j for j in order if roles[j] == 0), next((j for j in order if roles[j] == 1), None))
        if best is not None:
            taken[best] = True
            verdict[i] = 1 if roles[best] == 0 else 0
    low = frame.found_px[:, 3] - frame.found_px[:, 1] < level.height_px
    hidden = _share_inside(frame.found_px, frame.dont_care_px) > 0.5
    verdict[(verdict == -1) & (low | hidden)] = 0
    use = verdict != 0
    return frame.scores[use], verdict[use] == 1, int((roles == 0).sum())


def _share_inside(boxes: Doubles, regions: Doubles) -> Doubles:
    """(N,) greatest share of each picture box (N, 4) inside one of the regions (K, 4)."""
    if not len(regions):
        return np.zeros(len(boxes))
    low, high = (
        np.maximum(boxes[:, None, :2], regions[None, :, :2]),
        np.minimum(boxes[:, None, 2:], regions[None, :, 2:]),
    )
    area = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9)
    share: Doubles = (np.prod(np.clip(high - low, 0, None), axis=2) / area[:, None]).max(axis=1)
    return share


def _precision(judged: Sequence[tuple[Doubles, Array, int]]) -> float:
    truths = sum(n for _, _, n in judged)
    if not truths:
        return float("nan")
    scores = np.concatenate([s for s, _, _ in judged])
    right = np.concatenate([r for _, r, _ in judged])[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(right)
    recall, precision = hits / truths, hits / np.maximum(np.arange(1, len(hits) + 1), 1)
    best = [float(precision[recall >= k / 40 - 1e-9].max(initial=0.0)) for k in range(1, 41)]
    return 100.0 * float(np.mean(best))
