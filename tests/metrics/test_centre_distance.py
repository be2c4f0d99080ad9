"""Centre-distance AP and calibration on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.metrics.calibration import (
    coverage,
    expected_calibration_error,
    rank_correlation,
    sigma_factors,
    temperature,
)  # fmt: skip
from fusion_pipeline.metrics.centre_distance import Scene, average_precision, interval, matched, score


def scene(truth: list[float], found: list[tuple[float, float]], ignored: tuple[int, ...] = ()) -> Scene:
    """Things along x; findings as (x, score)."""

    def rows(xs: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray([[x, 0, 0, 4, 2, 1.5, 0, 1, 0] for x in xs], np.float64).reshape(-1, 9)

    hidden = np.isin(np.arange(len(truth)), ignored)
    return Scene(rows(truth), hidden, rows([x for x, _ in found]), np.asarray([s for _, s in found]))


def test_all_found_is_100_and_none_found_is_0() -> None:
    assert average_precision([scene([0, 10], [(0.1, 0.9), (10.1, 0.8)])], 1.0) == pytest.approx(100.0)
    assert average_precision([scene([0, 10], [])], 1.0) == 0.0
    assert np.isnan(average_precision([scene([], [(0, 0.5)])], 1.0))


def test_a_surer_ghost_halves_the_precision() -> None:
    value = average_precision([scene([0.0], [(50, 0.9), (0, 0.8)])], 1.0)
    assert value == pytest.approx(100 * (0.5 - 0.1) / 0.9)


def test_a_truth_is_taken_once_and_the_ignored_count_neither_way() -> None:
    result = matched([scene([0.0, 5.0], [(0, 0.9), (0.2, 0.8), (5, 0.7)], ignored=(1,))], 1.0)
    assert result.wanted == 1
    assert result.right.tolist() == [True, False]


def test_errors_and_nds() -> None:
    off = scene([0.0], [(0.5, 0.9)])
    mean, nds, errors = score([[off]])
    assert mean == pytest.approx(0.75)  # found at 1, 2 and 4 m, and not nearer than 0.5 m
    np.testing.assert_allclose(errors, [0.5, 0, 0, 0], atol=1e-9)
    assert nds == pytest.approx((5 * 0.75 + 0.5 + 3) / 9)
    low, high = interval([off] * 5, 1.0)
    assert low == high == pytest.approx(100.0)


def test_calibration() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0, 1, 20_000)
    right = rng.random(20_000) < chance
    assert expected_calibration_error(chance, right) < 0.02
    assert expected_calibration_error(np.sqrt(chance), right) > 0.1
    slope, shift = temperature(1 / (1 + np.exp(-2 * np.log(chance / (1 - chance)) - 1)), right)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert shift == pytest.approx(-0.5, abs=0.06)
    errors = rng.normal(0, 2.0, (20_000, 2))
    assert coverage(errors, np.full_like(errors, 2.0)) == pytest.approx(0.683, abs=0.01)
    np.testing.assert_allclose(sigma_factors(errors, np.ones_like(errors)), 2.0, rtol=0.03)


def test_rank_correlation_with_ties() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, 200).astype(float), rng.integers(0, 5, 200).astype(float)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, a**3) == pytest.approx(1.0)
