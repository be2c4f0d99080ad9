"""The bird's-eye raster against a slow reference that loops over points and cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusion_pipeline.arrays import Floats
from fusion_pipeline.encode.grid import ALL_ROUND
from fusion_pipeline.encode.points import EDGES_M, FEATURES, BevRaster


def street(n: int = 4000, seed: int = 0) -> tuple[Floats, Floats]:
    """A flat road with a box on it and scattered points, some of them outside the grid."""
    random = np.random.default_rng(seed)
    road = np.stack([random.uniform(-5, 75, n), random.uniform(-45, 45, n), random.normal(0, 0.02, n)], axis=1)
    box = random.uniform([20, 2, 0], [24, 4, 1.5], (n // 8, 3))
    air = random.uniform([0, -40, 0], [70, 40, 6], (n // 8, 3))
    xyz = np.concatenate([road, box, air]).astype(np.float32)
    return xyz, random.random(len(xyz)).astype(np.float32)


def reference(xyz: Floats, intensity: Floats, heights: Floats) -> Floats:
    """Features 0 to 11 by the words of the module; `heights` above local ground."""
    out = np.zeros((1, 4 * FEATURES, 176, 200), np.float64)
    levels = [int(min(max(v, 0.0), 1.0) * 255) for v in intensity.tolist()]
    below = [sum(1 for v in levels if v < k) for k in range(256)]
    equal = [levels.count(k) for k in range(256)]
    cells: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for (x, y, _), h, level in zip(xyz.tolist(), heights.tolist(), levels, strict=True):
        if not (0 <= x < 70.4 and -40 <= y < 40 and EDGES_M[0] <= h < EDGES_M[-1]):
            continue
        rank = (below[level] + 0.5 * equal[level]) / len(levels)
        cells.setdefault((int(x / 0.2), int((y + 40) / 0.2)), []).append((h, rank))
    for (r, c), points in cells.items():
        k = 2 * (r & 1) + (c & 1)
        for h, _ in points:
            s = max(i for i in range(9) if EDGES_M[i] <= h)
            out[0, 4 * s + k, r >> 1, c >> 1] = 1
        out[0, 36 + k, r >> 1, c >> 1] = max(0.0, *(h for h, _ in points)) / 4.5
        out[0, 40 + k, r >> 1, c >> 1] = math.log(1 + len(points)) / 4
        out[0, 44 + k, r >> 1, c >> 1] = sum(rank for _, rank in points) / len(points)
    return out.astype(np.float32)


def test_the_raster_equals_the_slow_reference() -> None:
    xyz, intensity = street()
    raster = BevRaster()
    found = raster(xyz, intensity)
    wanted = reference(xyz, intensity, xyz[:, 2] - raster.ground_at(np.ascontiguousarray(xyz[:, :2])))
    # A point within a rounding error of an edge may fall to either side; everything else is equal.
    differs = np.abs(found[:, :48] - wanted[:, :48]) > 1e-5
    assert wanted[:, :48].astype(bool).sum() > 5000
    assert differs.sum() <= 8


def test_cells_that_beams_crossed_are_free_and_cells_behind_are_not() -> None:
    raster = BevRaster()
    wall = np.stack([np.full(2001, 30.0), np.linspace(-30, 30, 2001), np.full(2001, 1.0)], axis=1).astype(np.float32)
    free = raster(wall, np.full(len(wall), 0.5, np.float32))[0, 60:64]
    assert (free[:, 20:70, 100] == 1).all()  # straight ahead, 8 to 28 m
    assert (free[:, 80:, 100] == 0).all()  # behind the wall


def test_ground_is_found_on_a_slope_and_under_a_box() -> None:
    random = np.random.default_rng(1)
    xy = random.uniform([0, -40], [70, 40], (60_000, 2))
    height = 0.03 * xy[:, 0]
    box = (np.abs(xy - [20, 3]) < [2, 1]).all(axis=1)
    xyz = np.concatenate([xy, (height + np.where(box, 1.5, 0))[:, None]], axis=1).astype(np.float32)
    raster = BevRaster()
    raster(xyz, np.full(len(xyz), 0.5, np.float32))
    places = np.array([[10, 0], [20, 3], [50, -20]], np.float32)
    assert np.abs(raster.ground_at(places) - 0.03 * places[:, 0]).max() < 0.15


def test_points_that_are_not_finite_are_passed_over() -> None:
    xyz, intensity = street()
    clean = BevRaster()(xyz, intensity)
    dirt = np.array([[np.nan, 0, 0], [10, np.inf, 0], [10, 0, np.nan], [-np.inf, 1, 1]], np.float32)
    dirty = BevRaster()(np.concatenate([dirt, xyz]), np.concatenate([np.full(4, np.nan, np.float32), intensity]))
    assert np.array_equal(clean, dirty)


def test_an_empty_scan_is_an_empty_raster() -> None:
    raster = BevRaster()
    out = raster(np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    assert out.shape == (1, 64, 176, 200)
    assert not out.any()
    assert raster.ground_at(np.zeros((1, 2), np.float32)).tolist() == [0]


def test_a_reused_raster_holds_nothing_of_the_scan_before() -> None:
    first, second = street(seed=1), street(seed=2)
    reused = BevRaster(reuse=True)
    reused(*first, previous=(first[0],))
    assert np.array_equal(reused(*second), BevRaster()(*second))


def test_earlier_scans_have_channels_of_their_own() -> None:
    xyz, intensity = street()
    old = np.array([[10.1, 0.1, 1.0], [10.1, 5.1, 3.5]], np.float32)  # the second is too high to count
    raster = BevRaster()
    out = raster(xyz, intensity, previous=(old[:0], old))[0]
    assert not out[48:52].any()
    assert out[52:56].sum() == 1
    assert out[52 + 2 * (50 & 1) + (200 & 1), 25, 100] == 1


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="intensity has shape"):
        BevRaster()(np.zeros((3, 3), np.float32), np.zeros(2, np.float32))


def test_the_ground_behind_is_found_as_that_ahead() -> None:
    rng = np.random.default_rng(4)
    ahead = rng.uniform([1, -40, 0], [50, 40, 0], (60_000, 3)).astype(np.float32)
    ahead[:, 2] = 0.03 * ahead[:, 0] + rng.normal(0, 0.01, len(ahead))
    block = rng.uniform([20, 5, 0.6], [24, 7, 2.0], (3000, 3)).astype(np.float32)  # nothing of the ground under it
    ahead = np.concatenate([ahead[~((np.abs(ahead[:, 0] - 22) < 2) & (np.abs(ahead[:, 1] - 6) < 1))], block])
    behind = ahead * np.asarray([-1, -1, 1], np.float32)
    raster = BevRaster(ALL_ROUND)
    places = rng.uniform([2, -38], [48, 38], (500, 2)).astype(np.float32)
    for cloud, side in ((ahead, 1), (behind, -1)):
        image = raster(cloud, np.ones(len(cloud), np.float32))
        assert image.shape == (1, 64, 256, 256)
        np.testing.assert_allclose(raster.ground_at(places * side), 0.03 * places[:, 0], atol=0.12)
    np.testing.assert_array_equal(image[0, :12].max(axis=0)[128:], 0)  # nothing ahead, where nothing is
