"""Rendered scans: points lie in their boxes, the same seed is the same scan, and disk loses next to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_samples import RIDE, STREET, sample

from fusion_pipeline.arrays import Ints
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train.cache import RING_SEEDS, Sample, fill, load, render, save
from fusion_pipeline.train.data import COLS, MIN_POINTS, ROWS, augment, target


def inside(scan: Sample, grown_m: float) -> Ints:
    """(M,) points within each box."""
    counts = []
    for x, y, z, *size, yaw in scan.boxes[:, :7]:
        away = scan.xyz_m - np.array([x, y, z], np.float32)
        c, s = np.cos(yaw), np.sin(yaw)
        local = np.stack([c * away[:, 0] + s * away[:, 1], -s * away[:, 0] + c * away[:, 1], away[:, 2]], axis=1)
        counts.append(int((np.abs(local) <= np.asarray(size) / 2 + grown_m).all(axis=1).sum()))
    return np.asarray(counts, np.int64)


@pytest.mark.parametrize("seed", [STREET, RIDE])
def test_points_of_things_lie_in_their_boxes(seed: int) -> None:
    scan = sample(seed)
    assert scan.boxes.shape == (len(scan.labels), 9)
    assert scan.points.shape == scan.labels.shape
    assert scan.points.sum() > 500
    assert (scan.points >= 0).all()
    hit = scan.points >= MIN_POINTS
    assert hit.sum() >= 5
    assert (inside(scan, 0.15)[hit] >= 0.99 * scan.points[hit]).all()
    assert set(scan.labels) <= {0, 1, 2, 3, 4}
    assert -0.3 < np.percentile(scan.xyz_m[:, 2], 5) < 0.3, "the frame's origin is on the ground"


def test_a_seed_is_a_scan() -> None:
    again, next_scan = render(RIDE), render(RIDE + 1)
    np.testing.assert_array_equal(sample(RIDE).xyz_m, again.xyz_m)
    np.testing.assert_array_equal(sample(RIDE).boxes, again.boxes)
    assert len(next_scan.xyz_m) != len(again.xyz_m)
    assert RIDE > RING_SEEDS


def test_disk_and_back(tmp_path: Path) -> None:
    scan, path = sample(RIDE), tmp_path / "1000050.npz"
    save(scan, path)
    back = load(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "no half file is left"
    near = (scan.xyz_m[:, 0] < 75) & (np.abs(scan.xyz_m[:, 1]) < 45) & (scan.xyz_m[:, 0] > -2)
    np.testing.assert_allclose(back.xyz_m, scan.xyz_m[near], atol=0.0026)
    np.testing.assert_allclose(back.intensity, scan.intensity[near], atol=0.002)
    for name in ("boxes", "labels", "points"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scan, name))
    assert back.xyz_m.dtype == back.intensity.dtype == np.float32


def test_filling_leaves_alone_what_is_there(tmp_path: Path) -> None:
    there = tmp_path / f"{RIDE:07d}.npz"
    there.write_bytes(b"not looked at")
    fill(tmp_path, RIDE, 2, 1)
    assert there.read_bytes() == b"not looked at"
    assert len(load(tmp_path / f"{RIDE + 1:07d}.npz").xyz_m) > 10_000
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("seed", [STREET, RIDE])
def test_targets_peak_at_the_centres_of_what_was_hit(seed: int) -> None:
    scan = sample(seed)
    goal = target(scan, BevRaster())
    assert goal.raster.shape == (64, ROWS, COLS)
    assert len(goal.cells) == len(goal.boxes) == len(goal.labels) >= 3
    assert (goal.heat[goal.labels, goal.cells[:, 0], goal.cells[:, 1]] == 1.0).all()
    assert (goal.weight[goal.cells[:, 0], goal.cells[:, 1]] == 1.0).all()
    middles = (goal.cells + 0.5) * 0.4 + [0.0, -40.0]
    np.testing.assert_allclose(goal.boxes[:, :2], middles, atol=0.2001)
    assert (goal.heat == 1.0).sum() <= len(goal.cells)
    missed = (scan.points < MIN_POINTS) & (np.abs(scan.boxes[:, 1]) < 39) & (scan.boxes[:, 0] > 1)
    missed &= scan.boxes[:, 0] < 69
    rows, cols = (scan.boxes[missed, 0] / 0.4).astype(int), ((scan.boxes[missed, 1] + 40.0) / 0.4).astype(int)
    at_missed = goal.weight[rows, cols]
    overlapped = goal.heat.max(axis=0)[rows, cols] > 0.01
    assert (at_missed[~overlapped] == 0.0).all(), "what was hardly hit is neither taught nor punished"


def test_changed_scans_keep_their_points_in_their_boxes() -> None:
    scan = sample(RIDE)
    for seed in range(8):
        changed, _ = augment(scan, np.random.default_rng(seed))
        assert changed.boxes.shape == scan.boxes.shape
        assert len(changed.xyz_m) <= len(scan.xyz_m)
        enough = changed.points >= 40
        assert enough.sum() >= 3
        assert (inside(changed, 0.3)[enough] > 0.5 * changed.points[enough]).all()
    np.testing.assert_array_equal(scan.xyz_m, render(RIDE).xyz_m)
