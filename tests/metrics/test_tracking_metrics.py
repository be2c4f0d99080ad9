"""Tracking figures on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.metrics.tracking import ALPHAS, Instant, judged


def boxes(*places: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Cars in a row along x."""
    return np.asarray([[x, 0.0, 0.8, 4.0, 1.7, 1.5, 0.0] for x in places]).reshape(-1, 7)


def instant(truth: dict[int, float], tracks: dict[int, float]) -> Instant:
    return Instant(np.asarray(list(truth), np.int64), boxes(*truth.values()),
                   np.asarray(list(tracks), np.int64), boxes(*tracks.values()))  # fmt: skip


def test_perfect_tracks_are_perfect() -> None:
    found = judged([instant({1: x, 2: x + 20}, {7: x, 9: x + 20}) for x in range(10)])
    assert found.hota == pytest.approx(1.0)
    assert (found.mota, found.idf1, found.switches) == (1.0, 1.0, 0)


def test_a_switch_half_way() -> None:
    found = judged([instant({1: 0.0}, {7 if k < 5 else 8: 0.0}) for k in range(10)])
    assert found.switches == 1
    assert found.mota == pytest.approx(1 - 1 / 10)
    assert found.idf1 == pytest.approx(2 * 5 / 20)
    assert found.detection == pytest.approx(1.0)
    assert found.association == pytest.approx(0.5)  # each half lies in 5 of 10 frames
    assert found.hota == pytest.approx(np.sqrt(0.5))


def test_misses_and_ghosts() -> None:
    found = judged([instant({1: 0.0, 2: 30.0}, {7: 0.0, 8: 60.0}) for _ in range(4)])
    assert found.mota == pytest.approx(1 - 2 * 4 / 8)
    assert found.idf1 == pytest.approx(2 * 4 / 16)
    assert found.detection == pytest.approx(1 / 3)
    assert found.association == pytest.approx(1.0)


def test_hota_falls_with_distance_from_the_truth() -> None:
    found = judged([instant({1: 0.0}, {7: 1.4}) for _ in range(3)])  # similarity 0.65
    right = (ALPHAS <= 0.65 + 1e-9).mean()
    assert found.hota == pytest.approx(right)
    assert found.mota == 1.0


def test_nothing_at_all() -> None:
    assert judged([instant({}, {})]).hota == 0.0
    assert judged([instant({1: 0.0}, {})]).mota == 0.0
