"""How well vectors find each other: recall among the nearest K, and rank-1 accuracy of things seen again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion_pipeline.arrays import Array, Doubles


def ranks(likeness: Array, right: Array) -> Array:
    """(Q,) place, from 0, of the best right answer to each query. `likeness` and `right` are (Q, N).

    Ties count against; queries without a right answer get N.
    """
    scores = np.asarray(likeness, np.float64)
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    ahead = ((scores >= best) & ~right).sum(axis=1)
    return np.asarray(np.where(right.any(axis=1), ahead, scores.shape[1]), np.int64)


def recall(places: Array, among: Sequence[int]) -> Doubles:
    """(K,) share of queries, 0 to 1, whose right answer is among the first 1, 5, ..."""
    return np.asarray([float((places < k).mean()) for k in among])


def chance(right: Array, among: Sequence[int]) -> Doubles:
    """(K,) what `recall` would be if the order were left to chance: one answer drawn without return after another."""
    count, hits = right.shape[1], right.sum(axis=1).astype(np.float64)
    out = []
    for k in among:
        missed = np.ones(len(hits))
        for drawn in range(min(k, count)):
            missed *= np.clip(1 - hits / (count - drawn), 0, 1)
        out.append(float((1 - missed).mean()))
    return np.asarray(out)


def same_again(likeness: Array, kinds: Array, groups: Array) -> tuple[float, float, int]:
    """Rank-1 accuracy of things seen twice, what chance would give, and for how many there was a choice.

    Row i and column i of `likeness` (N, N) are one thing in two views. Its rivals are those with the same `kinds` (N,)
    and `groups` (N,), say the moment.
    """
    own = np.eye(len(kinds), dtype=bool)
    may = (kinds[:, None] == kinds[None]) & (groups[:, None] == groups[None])
    choice = may.sum(axis=1) > 1
    if not choice.any():
        return float("nan"), float("nan"), 0
    first = ranks(np.where(may, likeness, -np.inf), own) == 0
    return float(first[choice].mean()), float((1 / may.sum(axis=1))[choice].mean()), int(choice.sum())
