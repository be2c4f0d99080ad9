"""KITTI's average precision, from above and in space, with its rules of what counts, what is ignored and what is false.

The rules are those of the benchmark's own program (Geiger et al., 2012; 40 recalls since 2019):

* Truth of a neighbouring class, or harder than the level, counts neither way; other classes do not exist.
* Found boxes lower in the picture than the level's least height are left out.
* Overlap is to be greater than the limit; of two that find the same truth the less sure one is false.
* DontCare regions are places in the picture alone. The benchmark excuses nothing by them from above or in space; with
  `dont_care` boxes of which more than the limit lies in one are left out, as it does for boxes in the picture.

Precision is read at recalls k/40 (or k/10) as the best at that recall or beyond. The benchmark's program samples as
many scores as there are truths, which with fewer than 41 of them cannot reach 100; with many the two agree.
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
    height_px: float  # more than this
    occlusion: int
    truncation: float


EASY = Level("easy", 40, 0, 0.15)
MODERATE = Level("moderate", 25, 1, 0.3)
HARD = Level("hard", 25, 2, 0.5)
LEVELS = (EASY, MODERATE, HARD)
NEIGHBOURS = {"Car": ("Van",), "Pedestrian": ("Person_sitting",)}
ANYWHERE = (0.0, float("inf"))
COUNTS, IGNORED, ANOTHER = 0, 1, -1


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Truth and findings of one frame, for one class of findings. Boxes are x y z l w h yaw in the vehicle frame."""

    kinds: tuple[str, ...]  # (M,) KITTI's type of each truth box, DontCare left out
    boxes: Doubles  # (M, 7)
    heights_px: Doubles  # (M,) in the picture
    occlusion: Array  # (M,)
    truncation: Doubles  # (M,)
    found: Doubles  # (N, 7)
    scores: Doubles  # (N,)
    found_px: Doubles  # (N, 4) left top right bottom in the picture
    dont_care_px: Doubles  # (K, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Findings of all frames that count, the surest first."""

    scores: Doubles  # (N,)
    right: Array  # (N,) bool
    frame: Array  # (N,) which of the frames
    wanted: Array  # (F,) truths of each frame that count


def judged(
    frames: Sequence[Frame],
    kind: str,
    level: Level,
    iou: float,
    bev: bool,
    band_m: tuple[float, float] = ANYWHERE,
    dont_care: bool = False,
) -> Verdicts:
    """Which findings are right. Truth whose distance on the ground is outside `band_m` is ignored, as findings are."""
    parts = [_judge(frame, kind, level, iou, bev, band_m, dont_care) for frame in frames]
    scores = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0)
    right = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0, bool)
    frame = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    order = np.argsort(-scores, kind="stable")
    return Verdicts(scores[order], right[order], frame[order], np.asarray([part[2] for part in parts], np.int64))


def precision_of(verdicts: Verdicts, points: int = 40, weights: Array | None = None) -> float:
    """AP in percent at `points` recalls: 40, or 11 as until 2019; NaN where no truth counts.

    `weights` (F,) says how often each frame is there.
    """
    recall, precision = curve(verdicts, weights)
    truths = verdicts.wanted.sum() if weights is None else (weights * verdicts.wanted).sum()
    if not truths:
        return float("nan")
    if not len(recall):
        return 0.0
    at = np.linspace(0, 1, 11) if points == 11 else np.arange(1, points + 1) / points
    best = np.maximum.accumulate(precision[::-1])[::-1]
    where = np.searchsorted(recall, at - 1e-9)
    return 100.0 * float(np.where(where < len(best), best[np.minimum(where, len(best) - 1)], 0.0).mean())


def interval_of(verdicts: Verdicts, draws: int = 500, seed: int = 0, points: int = 40) -> tuple[float, float]:
    """95 % bootstrap interval of the AP, drawing whole frames; NaN where no truth counts."""
    values = [precision_of(verdicts, points, weights) for weights in drawn(len(verdicts.wanted), draws, seed)]
    return percentiles(values)


def drawn(frames: int, draws: int, seed: int = 0) -> list[Array]:
    """How often each of (F,) frames is in each draw of a bootstrap."""
    rng = np.random.default_rng(seed)
    return [np.bincount(rng.integers(0, frames, frames), minlength=frames) for _ in range(draws if frames else 0)]


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """2.5 % and 97.5 % of the values that are numbers; NaN where none is."""
    numbers = [value for value in values if value == value]
    if not numbers:
        return float("nan"), float("nan")
    low, high = np.percentile(numbers, [2.5, 97.5])
    return float(low), float(high)


def curve(verdicts: Verdicts, weights: Array | None = None) -> tuple[Doubles, Doubles]:
    """(N,) recall and precision after each finding; empty where no truth counts."""
    times = np.ones(len(verdicts.scores)) if weights is None else weights[verdicts.frame]
    truths = verdicts.wanted.sum() if weights is None else (weights * verdicts.wanted).sum()
    if not truths:
        return np.zeros(0), np.zeros(0)
    hits, made = np.cumsum(times * verdicts.right), np.cumsum(times)
    return hits / truths, hits / np.maximum(made, 1e-9)


def average_precision(frames: Sequence[Frame], kind: str, level: Level, iou: float, bev: bool) -> float:
    """AP R40 in percent; NaN where no truth counts."""
    return precision_of(judged(frames, kind, level, iou, bev))


def interval(
    frames: Sequence[Frame], kind: str, level: Level, iou: float, bev: bool, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the AP, drawing whole frames."""
    return interval_of(judged(frames, kind, level, iou, bev), draws, seed)


def roles(frame: Frame, kind: str, level: Level, band_m: tuple[float, float] = ANYWHERE) -> Array:
    """(M,) COUNTS, IGNORED, or ANOTHER class that does not exist here."""
    kinds = np.asarray(frame.kinds, dtype=object)
    own, near = kinds == kind, np.isin(kinds, NEIGHBOURS.get(kind, ()))
    away = np.hypot(frame.boxes[:, 0], frame.boxes[:, 1])
    hard = (frame.heights_px <= level.height_px) | (frame.occlusion > level.occlusion)
    hard |= (frame.truncation > level.truncation) | (away < band_m[0]) | (away >= band_m[1])
    return np.where(own & ~hard, COUNTS, np.where(own | near, IGNORED, ANOTHER))


def low(frame: Frame, level: Level) -> Array:
    """(N,) whether a found box is too low in the picture for the level; heights lose their fraction."""
    return np.asarray(np.abs(frame.found_px[:, 3] - frame.found_px[:, 1]).astype(np.int64) < level.height_px)


def excused(frame: Frame, share: float) -> Array:
    """(N,) whether more than `share` of a found box lies in a DontCare region."""
    boxes, regions = frame.found_px, frame.dont_care_px
    if not len(regions):
        return np.zeros(len(boxes), bool)
    first = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    last = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    area = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9)
    inside = np.prod(np.clip(last - first, 0, None), axis=2) / area[:, None]
    return np.asarray(inside.max(axis=1) > share, bool)


def _judge(
    frame: Frame, kind: str, level: Level, iou: float, bev: bool, band_m: tuple[float, float], dont_care: bool
) -> tuple[Doubles, Array, int]:
    """Scores of the findings that count, whether each is right, and how many truths count."""
    role = roles(frame, kind, level, band_m)
    wanted = int((role == COUNTS).sum())
    use = np.flatnonzero(~low(frame, level))
    found, scores = frame.found[use], frame.scores[use]
    if not len(use):
        return np.zeros(0), np.zeros(0, bool), wanted
    overlap = (iou_bev if bev else iou_3d)(found, frame.boxes) if len(role) else np.zeros((len(use), 0))
    free = role != ANOTHER
    right, counts = np.zeros(len(use), bool), np.ones(len(use), bool)
    for i in np.argsort(-scores, kind="stable"):
        fits = (overlap[i] > iou) & free
        fits = fits & (role == COUNTS) if (fits & (role == COUNTS)).any() else fits
        if fits.any():
            best = int(np.where(fits, overlap[i], -1.0).argmax())
            free[best] = False
            right[i] = role[best] == COUNTS
            counts[i] = right[i]
        else:
            away = float(np.hypot(found[i, 0], found[i, 1]))
            counts[i] = band_m[0] <= away < band_m[1]
    if dont_care:
        counts &= right | ~excused(frame, iou)[use]
    return scores[counts], right[counts], wanted
