"""Whether scores are chances and sigmas are errors."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Array, Doubles

BINS = 15


def expected_calibration_error(scores: Doubles, right: Array, bins: int = BINS) -> float:
    """Mean gap between score and share of right ones over bins of equal mass (N,), 0 to 1 (Naeini et al., 2015)."""
    if not len(scores):
        return float("nan")
    table = reliability(scores, right, bins)
    return float((np.abs(table[:, 0] - table[:, 1]) * table[:, 2]).sum() / len(scores))


def reliability(scores: Doubles, right: Array, bins: int = BINS) -> Doubles:
    """(B, 3) mean score, share of right ones and number of each of the bins of equal mass, the lowest scores first."""
    if not len(scores):
        return np.zeros((0, 3))
    parts = np.array_split(np.argsort(scores, kind="stable"), min(bins, len(scores)))
    sure = np.asarray(right, np.float64)
    return np.asarray([(scores[part].mean(), sure[part].mean(), len(part)) for part in parts], np.float64)


def coverage(errors: Doubles, sigmas: Doubles) -> float:
    """Share of errors within one sigma; 0.683 where they are Gaussian."""
    return float((np.abs(errors) <= sigmas).mean()) if errors.size else float("nan")


def temperature(scores: Doubles, right: Array) -> tuple[float, float]:
    """Slope and shift of the score's logit (Platt, 1999) that make scores (N,) chances, by Newton's method."""
    x = np.log(np.clip(scores, 1e-6, 1 - 1e-6) / (1 - np.clip(scores, 1e-6, 1 - 1e-6)))
    design, goal = np.stack([x, np.ones_like(x)], axis=1), np.asarray(right, np.float64)
    weights = np.asarray([1.0, 0.0])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curve = design.T @ (design * (chance * (1 - chance))[:, None]) + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(curve, design.T @ (goal - chance))
    return float(weights[0]), float(weights[1])


def sigma_factors(errors: Doubles, sigmas: Doubles) -> Doubles:
    """(D,) by which each column of sigmas (N, D) is to be multiplied so that 68.3 % of errors (N, D) lie within."""
    return np.asarray(np.quantile(np.abs(errors) / np.maximum(sigmas, 1e-9), 0.683, axis=0), np.float64)


def rank_correlation(a: Doubles, b: Doubles) -> float:
    """Spearman's rank correlation of two series (N,), ties at their mean rank."""

    def ranks(values: Doubles) -> Doubles:
        _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        return np.asarray((ends - (counts - 1) / 2)[where], np.float64)

    if len(a) < 3:
        return float("nan")
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])
