"""How well boxes are followed over time: CLEAR MOT, IDF1 and HOTA.

CLEAR MOT as Bernardin and Stiefelhagen (2008), IDF1 as Ristani et al. (2016), HOTA as Luiten et al. (2021), each with a
similarity that the caller gives: BEV overlap, or nearness of centres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from fusion_pipeline.arrays import Array, Doubles

ALPHAS = np.arange(0.05, 0.96, 0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """Truth and tracks of one frame; boxes are x y z l w h yaw."""

    truth_ids: Array  # (M,)
    truth: Doubles  # (M, 7)
    track_ids: Array  # (N,)
    tracks: Doubles  # (N, 7)


@dataclass(frozen=True, slots=True)
class Tracking:
    """All 0 to 1 but the switches; MOTA may be below 0."""

    hota: float
    detection: float  # HOTA's DetA
    association: float  # HOTA's AssA
    mota: float
    idf1: float
    switches: int


Similarity = Callable[[Doubles, Doubles], Doubles]


def nearness(truth: Doubles, tracks: Doubles, reach_m: float = 4.0) -> Doubles:
    """(M, N) 1 where centres coincide on the ground, 0 from `reach_m` on."""
    apart = np.linalg.norm(truth[:, None, :2] - tracks[None, :, :2], axis=2)
    return np.asarray(np.clip(1 - apart / reach_m, 0, 1), np.float64)


def judged(instants: Sequence[Instant], similarity: Similarity = nearness, threshold: float = 0.5) -> Tracking:
    """All figures; `threshold` is the similarity from which CLEAR MOT and IDF1 call a track right."""
    alike = [similarity(item.truth, item.tracks) for item in instants]
    truths, tracks = _numbered([item.truth_ids for item in instants]), _numbered([item.track_ids for item in instants])
    hota, detection, association = _hota(truths, tracks, alike)
    mota, switches = _mota(truths, tracks, alike, threshold)
    return Tracking(hota, detection, association, mota, _idf1(truths, tracks, alike, threshold), switches)


def _numbered(ids: Sequence[Array]) -> list[Array]:
    """The same with ids 0, 1, 2, ..."""
    known = {value: k for k, value in enumerate(np.unique(np.concatenate([*ids, np.zeros(0, np.int64)])).tolist())}
    return [np.asarray([known[int(value)] for value in part], np.int64) for part in ids]


def _count(ids: Sequence[Array]) -> int:
    return max((int(part.max()) + 1 for part in ids if len(part)), default=0)


def _hota(truths: list[Array], tracks: list[Array], alike: list[Doubles]) -> tuple[float, float, float]:
    n, m = _count(truths), _count(tracks)
    have_truth, have_track = np.zeros(n), np.zeros(m)
    together = np.zeros((n, m))
    for a, b, near in zip(truths, tracks, alike, strict=True):
        have_truth[a] += 1
        have_track[b] += 1
        share = near.sum(axis=0, keepdims=True) + near.sum(axis=1, keepdims=True) - near
        together[np.ix_(a, b)] += np.divide(near, share, out=np.zeros_like(near), where=share > 0)
    aligned = together / np.maximum(have_truth[:, None] + have_track[None] - together, 1e-12)
    detections, associations = [], []
    for alpha in ALPHAS:
        hits, matched = 0, np.zeros((n, m))
        for a, b, near in zip(truths, tracks, alike, strict=True):
            score = aligned[np.ix_(a, b)] * near
            rows, columns = linear_sum_assignment(-score)
            good = near[rows, columns] >= alpha - 1e-12
            hits += int(good.sum())
            matched[a[rows[good]], b[columns[good]]] += 1
        misses, extra = have_truth.sum() - hits, have_track.sum() - hits
        detections.append(hits / max(hits + misses + extra, 1))
        union = np.maximum(have_truth[:, None] + have_track[None] - matched, 1)
        associations.append(float((matched * matched / union).sum() / max(hits, 1)))
    det, ass = np.asarray(detections), np.asarray(associations)
    return float(np.sqrt(det * ass).mean()), float(det.mean()), float(ass.mean())


def _mota(truths: list[Array], tracks: list[Array], alike: list[Doubles], threshold: float) -> tuple[float, int]:
    last: dict[int, int] = {}
    wrong = switches = total = 0
    for a, b, near in zip(truths, tracks, alike, strict=True):
        total += len(a)
        # Whoever was matched before stays matched while it may.
        bonus = np.asarray([[1000.0 if last.get(int(i), -1) == int(j) else 0.0 for j in b] for i in a])
        score = np.where(near >= threshold, near + bonus.reshape(near.shape), 0.0)
        rows, columns = linear_sum_assignment(-score)
        good = score[rows, columns] > 0
        for i, j in zip(a[rows[good]].tolist(), b[columns[good]].tolist(), strict=True):
            switches += int(last.get(i, j) != j)
            last[i] = j
        wrong += len(a) + len(b) - 2 * int(good.sum())
    return 1 - (wrong + switches) / max(total, 1), switches


def _idf1(truths: list[Array], tracks: list[Array], alike: list[Doubles], threshold: float) -> float:
    n, m = _count(truths), _count(tracks)
    shared = np.zeros((n, m))
    for a, b, near in zip(truths, tracks, alike, strict=True):
        shared[np.ix_(a, b)] += near >= threshold
    rows, columns = linear_sum_assignment(-shared)
    total = sum(len(a) for a in truths) + sum(len(b) for b in tracks)
    return 2 * float(shared[rows, columns].sum()) / max(total, 1)
