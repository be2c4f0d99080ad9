"""Lenses, labels and light of the simulated camera, each against what geometry or physics says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drive_samples import crate, drive_of, still

from fusion_pipeline.arrays import Array
from fusion_pipeline.geometry.boxes import corners
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.rig import CameraMount, Rig
from fusion_pipeline.world.camera import GROUND, SKY, CameraOptions, SimulatedCamera
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.scene import CLASSES
from fusion_pipeline.world.weather import Weather

MATRIX = np.asarray([[220.0, 0, 319.5], [0, 220.0, 239.5], [0, 0, 1.0]])
LENSES = {
    "barrel": CameraModel("pinhole", 640, 480, MATRIX, np.asarray([-0.18, 0.02, 0.001, -0.001])),
    "pincushion": CameraModel("pinhole", 640, 480, 2 * MATRIX - np.asarray([[0, 0, 319.5], [0, 0, 239.5], [0, 0, 1]]),
                              np.asarray([0.12, 0.01, 0, 0])),
    "fisheye": CameraModel("fisheye", 640, 480, MATRIX, np.asarray([-0.02, 0.003, 0.0, 0.0])),
}  # fmt: skip


@pytest.fixture(scope="module")
def mount(repo_root: Path) -> CameraMount:
    return Rig.load(repo_root / "calibration" / "rigs" / "demo.toml").cameras["camera/front"]


@pytest.fixture(scope="module")
def street() -> Drive:
    return ring_street(7, False)


def grey(pixels: Array) -> Array:
    return pixels.astype(np.float64).mean(axis=-1)


@pytest.mark.parametrize("name", LENSES)
def test_a_lens_shows_things_where_its_model_says(mount: CameraMount, name: str) -> None:
    drive = drive_of(
        still(475.0, 0.0), crate(still(7.0, 1.5), (2.0, 2.0, 3.0))
    )  # 10 m ahead of the camera, to the left
    look = SimulatedCamera(drive, replace(mount, model=LENSES[name])).take(0.0)
    box = np.asarray([[12.0, 1.5, 1.5, 2.0, 2.0, 3.0, 0.0]])
    optical = mount.vehicle_from_sensor.inverse().apply(corners(box).reshape(-1, 3))
    pixels, visible = LENSES[name].project(optical)
    assert visible.all()
    v, u = np.nonzero(look.instances == 0)
    # Straight edges bend between corners: so a margin there, and a pixel at the corners themselves.
    assert u.min() == pytest.approx(pixels[:, 0].min(), abs=2.5)
    assert u.max() == pytest.approx(pixels[:, 0].max(), abs=2.5)
    front = pixels[optical[:, 2] < optical[:, 2].min() + 0.1]
    for corner in front:
        inside = np.hypot(u - corner[0], v - corner[1]).min()
        assert inside < 1.5


def test_a_lens_without_rays_is_refused(mount: CameraMount) -> None:
    broken = CameraModel("pinhole", 640, 480, MATRIX, np.asarray([-9.0, 0, 0, 0]))
    with pytest.raises(ValueError, match="cannot be inverted"):
        SimulatedCamera(drive_of(still(0.0, 0.0)), replace(mount, model=broken))


def test_depth_and_labels_are_exact(mount: CameraMount, street: Drive) -> None:
    camera = SimulatedCamera(street, mount)
    look = camera.take(12.0, 5)
    np.testing.assert_array_equal(look.pixels, camera.picture(12.0, 5))
    assert look.depth_m.shape == look.classes.shape == look.instances.shape == look.pixels.shape[:2]
    sky, ground = look.classes == SKY, look.classes == GROUND
    assert not look.depth_m[sky].any()
    assert (look.depth_m[~sky] > 0).all()
    rows = np.broadcast_to(np.arange(240.0)[:, None], ground.shape)
    np.testing.assert_allclose(look.depth_m[ground], 1.65 * 400 / (rows[ground] - 112.0), rtol=2e-3)
    for number in np.unique(look.instances[look.instances >= 0]):
        assert set(np.unique(look.classes[look.instances == number])) == {street.actors[number].label}
    names = {CLASSES[label] for label in np.unique(look.classes[look.classes >= 0])}
    assert names >= {"car", "pedestrian"}
    np.testing.assert_array_equal(look.instances[sky | ground], look.classes[sky | ground])


def test_a_crate_throws_its_shadow_away_from_the_sun(mount: CameraMount) -> None:
    # The sun stands behind us to the left: the shadow falls ahead and to the right of the crate.
    drive = drive_of(still(475.0, 0.0), crate(still(5.0, 2.0), (2.0, 2.0, 3.0)))
    lit, dark = (SimulatedCamera(drive, mount, CameraOptions(noise=0.0, shadows=on)).take(0.0) for on in (False, True))
    change = grey(lit.pixels) - grey(dark.pixels)
    v, u = np.nonzero((change > 15) & (lit.classes == GROUND))
    assert len(v) > 300
    depth = lit.depth_m[v, u]
    x, y = depth + 0.27, -(u - 319.5) / 400 * depth + 0.06
    # Of a point at height h the shadow lies h / 0.72 times (0.55, -0.42) farther.
    assert x.min() > 9 - 0.3
    assert x.max() < 11 + 3.0 / 0.72 * 0.55 + 0.5
    assert y.max() < 3.3
    assert y.min() > 1 - 3.0 / 0.72 * 0.42 - 0.4
    assert (change[lit.classes == SKY] == 0).all()


def test_night_fog_and_rain(mount: CameraMount, street: Drive) -> None:
    def taken(**options: object) -> Array:
        return grey(SimulatedCamera(street, mount, CameraOptions(noise=0.0, **options)).picture(12.0))  # type: ignore[arg-type]

    day, night = taken(), taken(night=True)
    assert night.mean() < 0.35 * day.mean()
    left = (night / np.maximum(day, 1)).mean(axis=1)
    assert left[225:235].mean() > 2 * left[114:120].mean()  # headlights reach the near road
    fog = taken(weather=Weather(visibility_m=40))
    far, near = slice(90, 112), slice(215, 240)
    assert fog[far].std() < 0.4 * day[far].std()
    assert fog[near].std() > 0.6 * day[near].std()
    rain = taken(weather=Weather(rain_mm_h=20))
    assert not np.array_equal(rain, taken(weather=Weather(rain_mm_h=1)))


def test_a_rolling_shutter_takes_each_row_at_its_own_time(mount: CameraMount, street: Drive) -> None:
    rolling = SimulatedCamera(street, mount, CameraOptions(noise=0.0, readout_s=0.1, steps=5)).picture(12.0)
    plain = SimulatedCamera(street, mount, CameraOptions(noise=0.0))
    for band in range(5):
        rows = slice(48 * band, 48 * band + 48)
        np.testing.assert_array_equal(rolling[rows], plain.picture(12.0 + 0.1 * (band + 0.5) / 5)[rows])


def test_exposure_time_blurs_what_moves(mount: CameraMount, street: Drive) -> None:
    sharp, moved, soft = (
        grey(SimulatedCamera(street, mount, CameraOptions(noise=0.0, **options)).picture(12.0))  # type: ignore[arg-type]
        for options in ({}, {"motion_s": 0.05}, {"blur_px": 1.5})
    )
    edges = [np.abs(np.diff(picture[150:])).mean() for picture in (sharp, moved, soft)]
    assert edges[1] < 0.95 * edges[0]
    assert edges[2] < 0.8 * edges[0]


def test_noise_grows_with_light(mount: CameraMount, street: Drive) -> None:
    clean = grey(SimulatedCamera(street, mount, CameraOptions(noise=0.0)).picture(12.0))
    noisy = SimulatedCamera(street, mount, CameraOptions(noise=2.0, shot=0.2)).picture(12.0, 3)
    grain = grey(noisy) - clean
    dark, bright = (clean > 10) & (clean < 60), (clean > 150) & (clean < 230)
    assert grain[bright].std() == pytest.approx(np.sqrt(4 + 0.2 * clean[bright].mean()), rel=0.15)
    assert grain[dark].std() < grain[bright].std()
    with pytest.raises(ValueError, match="must not be negative"):
        CameraOptions(blur_px=-1)
