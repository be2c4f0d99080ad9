"""Tables of the calibration against the camera's own projection and plain trigonometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusion_pipeline.encode.audio import azimuths_rad
from fusion_pipeline.encode.grid import ALL_ROUND, FRONT
from fusion_pipeline.encode.image import Fit
from fusion_pipeline.encode.lookup import (
    DEPTHS,
    FOCAL_PX,
    HEIGHTS_M,
    MAP,
    RAY,
    TOKENS,
    UNSEEN,
    audio_table,
    camera_table,
    depth_bins,
    joined,
    no_camera,
    rig_tables,
)  # fmt: skip
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import Rig

AXES = np.asarray([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
MODEL = CameraModel("pinhole", 640, 192, np.asarray([[370.0, 0, 320], [0, 370.0, 90], [0, 0, 1]]), np.zeros(0))
MOUNT = Pose(AXES, np.asarray([0.3, 0.1, 1.6]))
WHOLE = Fit(1.0, 1.0, 0.0, 0.0)


def test_a_place_is_looked_up_where_the_camera_sees_it() -> None:
    table = camera_table(MODEL, MOUNT, WHOLE).lut.reshape(*FRONT.coarse, len(HEIGHTS_M))
    for row, column in ((20, 50), (30, 60), (60, 40)):
        x, y = FRONT.cells().reshape(*FRONT.coarse, 2)[row, column]
        for number, high in enumerate(HEIGHTS_M):
            (pixel,), _ = MODEL.project(MOUNT.inverse().apply(np.asarray([[x, y, high]])))
            assert table[row, column, number] == int(pixel[1]) // 8 * MAP[1] + int(pixel[0]) // 8
    assert (table[:, 0] == UNSEEN).sum() > 80  # far to the right
    assert 0.2 < (table != UNSEEN).mean() < 0.9
    assert (no_camera().lut == UNSEEN).all()


def test_rays_and_tables_move_with_the_grid() -> None:
    turn = Pose.from_euler(0.0, 0.0, 0.3, np.asarray([1.0, -2.0, 0.0]))
    still, moved = camera_table(MODEL, MOUNT, WHOLE), camera_table(MODEL, MOUNT, WHOLE, turn.matrix)
    back = turn.inverse()
    np.testing.assert_allclose(moved.rays[:, :3], still.rays[:, :3] @ back.rotation.T, atol=1e-5)
    np.testing.assert_allclose(moved.rays[0, 3:6] * 10, back.apply(MOUNT.translation_m[None])[0], atol=1e-5)
    # The cell that lies on a place in the moved grid finds the same pixels.
    place = np.asarray([[24.4, 1.2, 0.0]])
    there = back.apply(place)[0, :2]
    a = camera_table(MODEL, MOUNT, WHOLE, None, place[:, :2]).lut
    b = camera_table(MODEL, MOUNT, WHOLE, turn.matrix, there[None]).lut
    np.testing.assert_array_equal(a, b)


def test_flat_ground_is_as_deep_as_a_ray_says() -> None:
    tilted = Pose.from_euler(0.0, 0.03, 0.2, np.zeros(3)) @ MOUNT
    fit = Fit(-1.2, 1.2, 660.0, -10.0)  # mirrored and larger
    inverse = camera_table(MODEL, tilted, fit).rays[:, 6].reshape(TOKENS)
    assert (inverse[0] < 0).all()  # sky
    for row, column in ((9, 4), (10, 20), (11, 33)):
        u, v = (column + 0.5) * 16, (row + 0.5) * 16
        ray = MODEL.rays(np.asarray([[(u - fit.offset_x) / fit.scale_x, (v - fit.offset_y) / fit.scale_y]]))
        place = tilted.apply(ray / ray[:, 2:] * 1.2 / inverse[row, column])  # FOCAL_PX is this lens's own
        assert abs(place[0, 2]) < 1e-4  # the ground of the vehicle frame
    np.testing.assert_allclose(np.diff(inverse, 2, axis=0), 0, atol=1e-6)  # linear, so that it may be interpolated
    assert not no_camera().rays.any()


def test_cells_are_heard_from_their_azimuth() -> None:
    table = audio_table(np.asarray([-1.0, 0.0, 1.7]))
    offset = FRONT.cells() - [-1.0, 0.0]
    azimuth = np.arctan2(offset[:, 1], offset[:, 0])
    gap = np.angle(np.exp(1j * (azimuths_rad()[table.lut] - azimuth)))
    assert np.abs(gap).max() <= np.deg2rad(2.5) + 1e-9
    np.testing.assert_allclose(table.geometry[:, 0], np.log(np.hypot(*offset.T)), atol=1e-5)
    np.testing.assert_allclose(table.directions[18], [1.0, 0.0], atol=1e-6)  # bin 18 looks to the left


def test_a_rig_without_camera_or_array_has_tables_too(repo_root: Path) -> None:
    full = rig_tables(Rig.load(repo_root / "calibration" / "rigs" / "demo.toml"))
    assert {name: value.shape for name, value in full.items()} == {
        "cam_lut": (26400,), "cam_bin": (26400,),
            "cam_rays": (1, 480, RAY), "aud_lut": (8800,), "aud_geo": (8800, 4), "aud_dir": (1, 72, 2),
    }  # fmt: skip
    assert (full["cam_lut"] != UNSEEN).mean() > 0.2
    rig = Rig.load(repo_root / "calibration" / "rigs" / "demo.toml")
    alone = rig_tables(Rig("alone", rig.lidars))
    assert (alone["cam_lut"] == UNSEEN).all()


def test_a_depth_is_that_of_an_equally_large_picture() -> None:
    depths = np.asarray([1.0, 2.0, 12.0, 79.0, 500.0])
    bins = depth_bins(depths, MODEL, WHOLE)
    assert bins[0] == bins[1] == 0.0
    assert DEPTHS - 1 < bins[3] <= bins[4] < DEPTHS
    twice = CameraModel("pinhole", 640, 192, MODEL.matrix * [[2.0], [2.0], [1.0]], np.zeros(0))
    np.testing.assert_allclose(depth_bins(2 * depths[1:3], twice, WHOLE), bins[1:3], atol=1e-9)
    np.testing.assert_allclose(depth_bins(depths, MODEL, Fit(2.0, 2.0, 0.0, 0.0)), depth_bins(depths, twice, WHOLE))
    assert abs(FOCAL_PX - MODEL.matrix[0, 0]) < 1e-6  # so that these are plain metres
    table = camera_table(MODEL, MOUNT, WHOLE)
    cell = 30 * FRONT.coarse[1] + 50
    local = MOUNT.inverse().apply(np.asarray([[*FRONT.cells()[cell], HEIGHTS_M[1]]]))
    assert table.bins[3 * cell + 1] == int(depth_bins(local[:, 2], MODEL, WHOLE)[0])


def test_all_round_is_looked_up_in_the_camera_that_sees_it() -> None:
    middles = ALL_ROUND.cells()
    rear = Pose.from_euler(0.0, 0.0, np.pi, np.zeros(3)) @ MOUNT
    ahead, behind = (camera_table(MODEL, pose, WHOLE, None, middles) for pose in (MOUNT, rear))
    both = joined([ahead, behind])
    lut = both.lut.reshape(*ALL_ROUND.coarse, len(HEIGHTS_M))
    front, back = lut[64 + 30, 64, 1], lut[64 - 31, 63, 1]
    assert front < UNSEEN <= back < 2 * UNSEEN
    assert lut[64, 10, 1] == 2 * UNSEEN  # to the right nobody looks
    assert both.rays.shape == (960, RAY)
    assert (np.delete(both.bins, np.flatnonzero(both.lut == 2 * UNSEEN)) >= 0).all()
