"""Rides with what is rare are drawn more often, and none is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.train.drawing import CLASSES, LEAST_SHARE, WANTED, Rides, repeat_factors


def ride(path: Path, labels: list[int], pixels: list[int]) -> None:
    np.savez(path, labels=np.array(labels, np.int8), pixels=np.array(pixels, np.int32))


def test_the_rarest_that_it_shows_says_how_often_a_ride_comes() -> None:
    shows = np.zeros((10, CLASSES), bool)
    shows[:, 0] = True
    shows[:2, 1] = True  # a truck in a fifth
    factors = repeat_factors(shows)
    np.testing.assert_allclose(factors, [WANTED / 0.2] * 2 + [1.0] * 8)
    shows = np.zeros((1000, CLASSES), bool)
    shows[0, 3] = True
    assert repeat_factors(shows).max() == WANTED / LEAST_SHARE, "one ride alone must not be learnt by heart"


def test_rides_are_drawn_by_what_they_show_and_new_ones_are_taken_up(tmp_path: Path) -> None:
    rides, rng = Rides(tmp_path), np.random.default_rng(1)
    with pytest.raises(FileNotFoundError, match="holds no rides"):
        rides.drawn(rng, 1)
    for number in range(9):
        ride(tmp_path / f"{number:07d}.npz", [0, 1], [500, 3])  # that truck is too small to be seen
    ride(tmp_path / "0000009.npz", [0, 1], [500, 500])
    counts = Counter(path.name for path in rides.drawn(rng, 4000))
    assert len(counts) == 10
    usual = np.mean([counts[f"{number:07d}.npz"] for number in range(9)])
    assert 6 < counts["0000009.npz"] / usual < 10
    ride(tmp_path / "0000010.npz", [2], [500])
    assert "0000010.npz" in {path.name for path in rides.drawn(rng, 1000)}
