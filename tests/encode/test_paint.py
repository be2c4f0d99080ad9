"""Painting: a point lands on the cell of the picture that shows it, and the right point paints a cell of the raster."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.encode.image import Fit, fit_of
from fusion_pipeline.encode.lookup import PICTURE, UNSEEN
from fusion_pipeline.encode.paint import PAINT_CHANNELS, chances_of, paint, painted_by, picture_rows
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import Rig

_AXES = Pose(np.asarray([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.asarray([0.2, 0.0, 1.6]))
_LENS = CameraModel("pinhole", 640, 192, np.asarray([[370.0, 0, 320], [0, 370, 96], [0, 0, 1]]), np.zeros(0))
_PLAIN = Fit(1.0, 1.0, 0.0, 0.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def road(rng: np.random.Generator) -> np.ndarray:
    flat = np.column_stack([rng.uniform(0, 70, 20000), rng.uniform(-40, 40, 20000), rng.normal(0, 0.01, 20000)])
    return flat.astype(np.float32)


def test_rows_are_where_the_lens_puts_them(rng: np.random.Generator) -> None:
    points = rng.uniform([-5, -30, -1], [60, 30, 4], (4000, 3)).astype(np.float32)
    rows = picture_rows(points, _LENS, _AXES.inverse().matrix, _PLAIN)
    pixels, seen = _LENS.project(_AXES.inverse().apply(points.astype(np.float64)))
    far = _AXES.inverse().apply(points.astype(np.float64))[:, 2] > 1.5
    inside = seen & far & (pixels[:, 0] >= 0) & (pixels[:, 1] >= 0)
    assert ((rows < UNSEEN) == inside).mean() > 0.999
    both = inside & (rows < UNSEEN)
    expected = (pixels[both, 1] // 8).astype(int) * 80 + (pixels[both, 0] // 8).astype(int)
    assert (rows[both] == expected).mean() > 0.999  # rounding at the edges of cells


def test_a_lens_that_bends_agrees_with_one_that_hardly_does(rng: np.random.Generator) -> None:
    points = rng.uniform([-5, -30, -1], [60, 30, 4], (4000, 3)).astype(np.float32)
    bent = CameraModel("pinhole", 640, 192, _LENS.matrix, np.asarray([1e-9, 0.0, 0.0, 0.0]))
    straight = picture_rows(points, _LENS, _AXES.inverse().matrix, _PLAIN)
    assert (picture_rows(points, bent, _AXES.inverse().matrix, _PLAIN) == straight).mean() > 0.998


def test_a_fisheye_of_the_rig_sees_the_road_ahead() -> None:
    mount = next(iter(Rig.load(rig("demo")).cameras.values()))
    fit = fit_of(mount.model.width_px, mount.model.height_px, PICTURE)
    ahead = np.asarray([[15.0, 0.0, 1.0], [-15.0, 0.0, 1.0]], np.float32)
    rows = picture_rows(ahead, mount.model, mount.vehicle_from_sensor.inverse().matrix, fit)
    assert rows[0] < UNSEEN
    assert rows[1] == UNSEEN


def test_the_body_paints_and_neither_the_road_nor_the_leaves(rng: np.random.Generator) -> None:
    raster = BevRaster()
    column = np.asarray([[20.05, 4.05, h] for h in (0.02, 0.9, 2.6, 3.5)], np.float32)
    points = np.concatenate([road(rng), column])
    raster(points, np.full(len(points), 0.5, np.float32))
    rows = np.full(len(points), UNSEEN, np.int64)
    rows[-4:] = [11, 12, 13, 14]
    cells = painted_by(raster, points, rows)
    fine_row, fine_column = int(20.05 / 0.2), int((4.05 + 40) / 0.2)
    at = (2 * (fine_row & 1) + (fine_column & 1), fine_row >> 1, fine_column >> 1)
    assert cells[at] == 12
    assert (cells < UNSEEN).sum() == 1
    segments = np.zeros((1, 6, 24, 80), np.float32)
    segments[0, :, 0, 12] = [8.0, 0, 0, 0, 0, -8.0]  # row 12: surely a car
    bev = np.zeros((1, 64, 176, 200), np.float32)
    paint(bev, cells, segments)
    assert bev[0, PAINT_CHANNELS][at] > 0.99
    assert bev.sum() == pytest.approx(bev[0, PAINT_CHANNELS][at])


def test_chances_end_with_what_nobody_sees() -> None:
    chances = chances_of(np.zeros((2, 6, 24, 80), np.float32))
    assert chances.shape == (2 * 1920 + 1,)
    assert chances[-1] == 0
    np.testing.assert_allclose(chances[:-1], 5 / 6, rtol=1e-6)
