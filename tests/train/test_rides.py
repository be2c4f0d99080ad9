"""Moments with three senses: all see the same things, and lessons move them together."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.encode.grid import COARSE_M
from fusion_pipeline.encode.lookup import UNSEEN
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train import cache
from fusion_pipeline.train.corruptions import CORRUPTIONS, fog, fogged, of_ride
from fusion_pipeline.train.lessons import MIN_POINTS, Options, events_of, lesson, moved
from fusion_pipeline.train.mirrors import BACKWARDS, SIDEWAYS, Mirror, mirrored
from fusion_pipeline.train.rides import AUDIBLE_DB, Ride, load, render, save

SEEDS = (2_950_002, 2_950_007)
FULL = Options((176, 200), False, (1, 1, 1))


@lru_cache(maxsize=4)
def ride(seed: int) -> Ride:
    return render(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_camera_lidar_and_truth_agree(seed: int) -> None:
    moment = ride(seed)
    back = np.linalg.inv(moment.camera)
    local = moment.boxes[:, :3] @ back[:3, :3].T + back[:3, 3]
    pixel = local @ moment.matrix.T
    u, v = pixel[:, 0] / pixel[:, 2], pixel[:, 1] / pixel[:, 2]
    plain = (moment.pixels > 300) & (local[:, 2] > 4) & (u > 8) & (u < 630) & (v > 4) & (v < 188)
    assert plain.any()
    for row in np.flatnonzero(plain):
        around = moment.classes[max(int(v[row]) // 8 - 1, 0) : int(v[row]) // 8 + 2,
                                max(int(u[row]) // 8 - 1, 0) : int(u[row]) // 8 + 2]  # fmt: skip
        assert (around < 5).any()  # something with a class is seen there
    assert moment.points.max() > 100


@pytest.mark.parametrize("seed", SEEDS)
def test_what_stands_was_there_before(seed: int) -> None:
    moment = ride(seed)
    raster = BevRaster()
    now = raster(moment.xyz_m, moment.intensity, moment.before_m)[0]
    body, before = now[4:28].max(axis=0) > 0, now[48:52].max(axis=0) > 0
    assert (before & body).sum() / before.sum() > 0.5


def test_a_ride_comes_back_from_disk(tmp_path: Path) -> None:
    moment = ride(SEEDS[0])
    save(moment, tmp_path / "0000001.npz")
    back = load(tmp_path / "0000001.npz")
    np.testing.assert_array_equal(back.boxes, moment.boxes)
    np.testing.assert_array_equal(back.jpeg, moment.jpeg)
    np.testing.assert_allclose(back.srp, moment.srp, atol=0.005)
    assert back.siren_hidden == moment.siren_hidden
    np.testing.assert_array_equal(back.conditions, moment.conditions)
    assert np.abs(back.xyz_m[:, 2]).max() < 40


def test_the_same_seed_is_the_same_moment() -> None:
    one, two = ride(SEEDS[1]), render(SEEDS[1])
    assert one.xyz_m.tobytes() == two.xyz_m.tobytes()
    assert one.jpeg.tobytes() == two.jpeg.tobytes()
    assert one.srp.tobytes() == two.srp.tobytes()


def test_events_stand_at_the_azimuths_of_what_is_audible() -> None:
    for seed in SEEDS:
        moment = ride(seed)
        goal = events_of(moment)
        for label, azimuth, level in moment.sounds:
            if level >= AUDIBLE_DB:
                at = round(float(azimuth) / (2 * np.pi / 72)) % 72
                assert goal[int(label), at] > 0.8
        silent = [k for k in range(8) if not (moment.sounds[:, 0] == k).any()]
        assert (goal[silent] == 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_points_boxes_and_earlier_sweeps_are_moved_by_one_motion(seed: int) -> None:
    moment = ride(SEEDS[0])
    move, changed, before = moved(moment, np.full(len(moment.labels), 99), np.random.default_rng(seed))
    carried = moment.boxes[:, :3] @ move[:3, :3].T + move[:3, 3]
    np.testing.assert_allclose(changed.boxes[:, :3], carried, atol=2e-3)
    for old, new in zip(moment.before_m, before, strict=True):
        np.testing.assert_allclose(new, old @ move[:3, :3].T + move[:3, 3], atol=2e-3)
    scale = np.cbrt(abs(np.linalg.det(move[:3, :3])))
    assert 0.96 < scale < 1.04
    np.testing.assert_allclose(changed.boxes[:, 3:6], moment.boxes[:, 3:6] * scale, rtol=5e-3)


def test_absent_senses_teach_nothing_they_cannot_see() -> None:
    moment, raster = ride(SEEDS[0]), BevRaster()
    blind = lesson(moment, raster, np.random.default_rng(0), Options((176, 200), False, (0, 1, 0)))
    assert not blind.target.raster[:48].any()
    assert blind.present.tolist() == [0, 1, 0, 0]
    seen = (moment.pixels >= 40) & (moment.boxes[:, 0] > 0) & (moment.boxes[:, 0] < 70.4)
    assert len(blind.target.boxes) == (seen & (np.abs(moment.boxes[:, 1]) < 40)).sum()
    deaf = lesson(moment, raster, np.random.default_rng(0), Options((176, 200), False, (0, 0, 1)))
    assert len(deaf.target.boxes) == 0
    full = lesson(moment, raster, np.random.default_rng(0), FULL)
    assert len(full.target.boxes) >= len(blind.target.boxes)
    assert (moment.points >= MIN_POINTS).sum() > 0


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_change_what_they_say_and_depend_on_the_seed_alone(name: str) -> None:
    moment, change = ride(SEEDS[0]), CORRUPTIONS[name]
    mild, hard, again = change(moment, SEEDS[0], 0), change(moment, SEEDS[0], 2), change(moment, SEEDS[0], 2)
    assert hard.xyz_m.tobytes() == again.xyz_m.tobytes()
    assert hard.jpeg.tobytes() == again.jpeg.tobytes()
    np.testing.assert_array_equal(hard.boxes, moment.boxes)
    repictured = hard.jpeg.tobytes() != moment.jpeg.tobytes()
    touched = {"lidar": hard.xyz_m.tobytes() != moment.xyz_m.tobytes(),
               "camera": repictured or (hard.camera != moment.camera).any()}  # fmt: skip
    only_lidar, only_camera = ("fewer beams", "fewer points"), ("camera displaced", "picture late", "dark", "bright",
                                                               "camera masked")  # fmt: skip
    assert touched["lidar"] == (name not in only_camera)
    assert touched["camera"] == (name not in only_lidar)
    if name in only_lidar:
        assert len(hard.xyz_m) < 0.5 * len(mild.xyz_m)


@pytest.mark.parametrize("mirror", [BACKWARDS, SIDEWAYS])
def test_mirroring_twice_changes_nothing(mirror: Mirror) -> None:
    crop = (128, 128)
    plain = lesson(ride(SEEDS[0]), BevRaster(), np.random.default_rng(0), Options(crop, False, (1, 1, 1)))
    once = mirrored(plain, mirror)
    assert once.corner != plain.corner
    row, column = (once.target.cells - once.corner).T
    inside = (row >= 0) & (row < 128) & (column >= 0) & (column < 128)
    assert inside.any()
    heat = once.target.heat[once.target.labels[inside], row[inside], column[inside]]
    assert (heat > 0.99).all()  # the hills moved with the boxes
    x, y = once.target.boxes[:, :2].T
    np.testing.assert_array_equal(once.target.cells, np.floor(np.column_stack([x / 0.4, y / 0.4 + 100])))
    twice = mirrored(once, mirror)
    assert twice.corner == plain.corner
    for name in ("cam_lut", "cam_bin", "cam_rays", "aud_lut", "aud_geo", "aud_dir", "paint_rows"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(plain, name))
    np.testing.assert_array_equal(twice.target.raster, plain.target.raster)
    np.testing.assert_allclose(np.cos(twice.target.boxes[:, 6]), np.cos(plain.target.boxes[:, 6]), atol=1e-6)


@pytest.mark.parametrize("mirror", [BACKWARDS, SIDEWAYS])
def test_a_mirrored_cell_is_heard_from_where_it_lies(mirror: Mirror) -> None:
    item = mirrored(lesson(ride(SEEDS[0]), BevRaster(), np.random.default_rng(0), Options(augmented=False)), mirror)
    rows, columns = (corner / 2 + np.arange(64) + 0.5 for corner in item.corner)
    x, y = (part.ravel() for part in np.meshgrid(rows * COARSE_M, columns * COARSE_M - 40.0, indexing="ij"))
    far = np.hypot(x, y) > 15  # the array is up to half a metre off the middle
    np.testing.assert_allclose(item.aud_geo[far, 2], (y / np.hypot(x, y))[far], atol=0.05)
    np.testing.assert_allclose(item.aud_geo[far, 3], (x / np.hypot(x, y))[far], atol=0.05)


@pytest.mark.parametrize("around", [False, True])
def test_lessons_ahead_alone_never_lie_behind_or_beside(around: bool) -> None:
    rng, raster = np.random.default_rng(3), BevRaster()
    corners = [
        lesson(ride(SEEDS[0]), raster, rng, Options((128, 128), True, (0, 1, 0), around=around)).corner
        for _ in range(24)
    ]
    assert all(0 <= row <= 48 and 0 <= column <= 72 for row, column in corners) != around


def test_depths_of_a_reframed_picture_lie_on_the_same_things() -> None:
    moment = ride(SEEDS[1])
    raster = BevRaster()
    rng = np.random.default_rng(8)
    for _ in range(4):
        item = lesson(moment, raster, rng, Options((128, 128), True, (0, 1, 0)))
        known = item.depths >= 0
        assert known.mean() > 0.2
        things = known & (item.classes < 5)
        # Things stand on the ground before what is behind them: nearer than the cells above them.
        rows, columns = np.nonzero(things)
        above = [item.depths[:r, c][item.depths[:r, c] >= 0] for r, c in zip(rows, columns, strict=True)]
        nearer = [item.depths[r, c] <= a.max() + 0.5 for r, c, a in zip(rows, columns, above, strict=True) if len(a)]
        assert np.mean(nearer) > 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_the_camera_paints_the_things_that_the_scan_sees(seed: int) -> None:
    item = lesson(ride(seed), BevRaster(), np.random.default_rng(0), replace(FULL, paints=True))
    thing = np.append(item.classes.ravel(), 5)[item.paint_rows] < 5  # (4, 176, 200)
    there = item.paint_rows < UNSEEN
    on, off = [], []
    for k, (dr, dc) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        rows, columns = np.nonzero(there[k])
        x, y = (2 * rows + dr + 0.5) * 0.2, (2 * columns + dc + 0.5) * 0.2 - 40.0
        inside = np.zeros(len(x), bool)
        for box in item.target.boxes[(item.target.labels == 0)]:
            along = (x - box[0]) * np.cos(box[6]) + (y - box[1]) * np.sin(box[6])
            across = (y - box[1]) * np.cos(box[6]) - (x - box[0]) * np.sin(box[6])
            inside |= (np.abs(along) < 0.4 * box[3]) & (np.abs(across) < 0.4 * box[4])
        on.append(thing[k][rows, columns][inside])
        off.append(thing[k][rows, columns][~inside])
    assert np.concatenate(on).mean() > 0.7 > 0.4 > np.concatenate(off).mean()


def test_nothing_paints_without_a_lidar_and_only_where_it_is_wanted() -> None:
    raster, rng = BevRaster(), np.random.default_rng(0)
    for options in (replace(FULL, mix=(0, 1, 1), paints=True), replace(FULL, paints=False)):
        assert (lesson(ride(SEEDS[0]), raster, rng, options).paint_rows == UNSEEN).all()


def test_a_scan_takes_the_place_of_the_rides_own() -> None:
    moment, scan = ride(SEEDS[0]), cache.render(7)
    item = lesson(moment, BevRaster(), np.random.default_rng(0), replace(FULL, mix=(1, 0, 0)), scan)
    plain = lesson(moment, BevRaster(), np.random.default_rng(0), replace(FULL, mix=(1, 0, 0)))
    seen = scan.points >= MIN_POINTS
    assert set(np.round(item.target.boxes[:, 0], 3)) <= set(np.round(scan.boxes[seen, 0], 3))
    assert item.present.tolist() == [1, 0, 0, 0]  # no sweeps before
    np.testing.assert_array_equal(item.depths, plain.depths)  # the picture is still the ride's
    np.testing.assert_array_equal(item.classes, plain.classes)
    assert (item.target.raster != plain.target.raster).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_fog_laid_over_a_clear_moment_is_much_like_fog_that_is_rendered(seed: int) -> None:
    clear = ride(seed)
    assert clear.conditions[0] == 0
    for severity in (0, 2):
        laid, rendered = of_ride(fogged)(clear, seed, severity), fog(clear, seed, severity)
        far = [int((np.linalg.norm(one.xyz_m - [0, 0, 1.75], axis=1) > 20).sum()) for one in (clear, laid, rendered)]
        assert far[1] == pytest.approx(far[2], rel=0.25)
        assert far[1] < 0.9 * far[0]
        laid_px, rendered_px, clear_px = (one.picture().astype(np.float64) for one in (laid, rendered, clear))
        assert np.abs(laid_px - rendered_px).mean() < 0.35 * np.abs(clear_px - rendered_px).mean()
