"""The simulated camera: its depth is the LiDAR's, its actors stand in their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drive_samples import crate, drive_of, still

from fusion_pipeline.arrays import Array
from fusion_pipeline.geometry.boxes import corners
from fusion_pipeline.rig import CameraMount, Rig
from fusion_pipeline.world.camera import CameraOptions, SimulatedCamera
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.sweep import SimulatedSweep
from fusion_pipeline.world.truth import boxes_at

MOMENTS = (0.0, 7.0, 23.3, 41.7, 59.9)


@pytest.fixture(scope="module")
def rig(repo_root: Path) -> Rig:
    return Rig.load(repo_root / "calibration" / "rigs" / "demo.toml")


@pytest.fixture(scope="module")
def mount(rig: Rig) -> CameraMount:
    return rig.cameras["camera/front"]


@pytest.fixture(scope="module")
def camera(mount: CameraMount) -> SimulatedCamera:
    return SimulatedCamera(ring_street(7, False), mount)


def actors_of(camera: SimulatedCamera) -> Array:
    """(height, width) row of drive.actors of each pixel of the last picture, -1 for all else."""
    ids = camera.view.surfaces.ids.T
    return np.where(ids >= 0, camera.view.actors[ids], -1)


def test_an_instant_is_a_picture_to_the_last_bit(camera: SimulatedCamera, mount: CameraMount) -> None:
    picture = camera.picture(12.0, 5)
    assert picture.shape == (mount.model.height_px, mount.model.width_px, 3)
    assert picture.dtype == np.uint8
    camera.picture(30.0, 6)
    np.testing.assert_array_equal(picture, camera.picture(12.0, 5))
    np.testing.assert_array_equal(picture, SimulatedCamera(ring_street(7, False), mount).picture(12.0, 5))
    moved = camera.picture(12.1, 5)
    assert np.abs(moved.astype(int) - picture).mean() > 3
    grain = camera.picture(12.0, 6).astype(int) - picture
    assert grain.any()
    assert np.abs(grain).max() <= 15
    assert grain.std() == pytest.approx(1.5 * np.sqrt(2), rel=0.2)


def test_depth_is_what_the_lidar_measures(camera: SimulatedCamera, rig: Rig, mount: CameraMount) -> None:
    lidar = rig.lidars["lidar/top"]
    sweeper = SimulatedSweep(ring_street(7, False), lidar)
    for seconds in MOMENTS:
        camera.picture(seconds)
        sweep = sweeper.sweep(seconds, 1)
        of_actors = lidar.vehicle_from_sensor.apply(sweep.xyz_m[sweep.actors >= 0].astype(np.float64))
        optical = mount.vehicle_from_sensor.inverse().apply(of_actors)
        pixels, visible = mount.model.project(optical)
        u, v = np.rint(pixels[visible]).astype(int).T
        depth = camera.depth_m()[v, u]
        both = depth > 0
        gap = np.abs(depth - optical[visible, 2])[both]
        assert both.sum() > 500
        assert np.median(gap) < 0.05, f"at {seconds} s"
        # Beams pass through panes, whose surface the camera sees, and edges hide other things from another place.
        assert np.mean(gap < 0.2) > 0.7


def test_pixels_of_an_actor_lie_in_its_projected_box(camera: SimulatedCamera, mount: CameraMount) -> None:
    checked = 0
    for seconds in MOMENTS:
        camera.picture(seconds)
        actors = actors_of(camera)
        truth = boxes_at(camera.view.drive, seconds, 200.0)
        edges = corners(np.concatenate([truth.centers_m, truth.sizes_m, truth.yaws_rad[:, None]], axis=1))
        for number, box in zip(truth.track_ids, edges, strict=True):
            optical = mount.vehicle_from_sensor.inverse().apply(box)
            v, u = np.nonzero(actors == number)
            if optical[:, 2].min() < 0.5:
                continue
            homogeneous = optical @ mount.model.matrix.T
            outline = homogeneous[:, :2] / homogeneous[:, 2:]
            low, high = outline.min(axis=0) - 1.0, outline.max(axis=0) + 1.0
            inside = (u >= low[0]) & (u <= high[0]) & (v >= low[1]) & (v <= high[1])
            assert np.mean(inside) >= 0.99 if len(u) else True
            checked += len(u) >= 20
        assert set(np.unique(actors[actors >= 0])) <= set(truth.track_ids)
    assert checked > 20


def test_a_crate_fills_the_pixels_that_geometry_says(mount: CameraMount) -> None:
    drive = drive_of(still(475.0, 0.0), crate(still(7.0, 0.06), (2.0, 2.0, 3.0)))
    camera = SimulatedCamera(drive, mount, CameraOptions(noise=0.0))
    camera.picture(0.0)
    face_m = 11.0 - 0.27
    v, u = np.nonzero(actors_of(camera) == 0)
    half = 400.0 / face_m
    assert (u.min(), u.max()) == (pytest.approx(319.5 - half, abs=1.0), pytest.approx(319.5 + half, abs=1.0))
    assert v.min() == pytest.approx(112.0 - 400.0 * 1.35 / face_m, abs=1.0)
    assert v.max() == pytest.approx(112.0 + 400.0 * 1.65 / face_m, abs=1.0)
    depth = camera.depth_m()
    np.testing.assert_allclose(depth[v, u], face_m, rtol=1e-4)
    assert depth[0, 0] == 0.0


def test_sky_above_road_below(camera: SimulatedCamera, mount: CameraMount) -> None:
    road = camera.picture(3.0)[230:, 300:340].reshape(-1, 3).mean(axis=0)
    assert np.ptp(road) < 25
    assert road.max() < 130
    sky = (
        SimulatedCamera(drive_of(still(0.0, 0.0)), mount, CameraOptions(noise=0.0))
        .picture(0.0)[:60]
        .reshape(-1, 3)
        .mean(axis=0)
    )
    assert sky[0] > sky[2] + 10
    assert sky.min() > 120
