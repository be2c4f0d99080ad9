"""The simulated LiDAR: its points lie where the truth has things, on the beams, with the noise it claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drive_samples import crate, drive_of, still

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount, Rig
from fusion_pipeline.world.beams import vlp16
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.ring_street import LANE_M, ring_street
from fusion_pipeline.world.shots import CLOSEST_M
from fusion_pipeline.world.sweep import FIELD_RAD, SimulatedSweep, Sweep
from fusion_pipeline.world.truth import boxes_at
from fusion_pipeline.world.view import View

MOMENTS = (0.0, 7.0, 23.3, 41.7, 59.9)
HEIGHT_M = 1.73


@pytest.fixture(scope="module")
def mount(repo_root: Path) -> LidarMount:
    return Rig.load(repo_root / "calibration" / "rigs" / "demo.toml").lidars["lidar/top"]


@pytest.fixture(scope="module")
def sweeper(mount: LidarMount) -> SimulatedSweep:
    return SimulatedSweep(ring_street(7, False), mount)


@pytest.fixture(scope="module")
def sweeps(sweeper: SimulatedSweep) -> list[Sweep]:
    return [sweeper.sweep(seconds, 1000 + k) for k, seconds in enumerate(MOMENTS)]


def in_vehicle(sweep: Sweep) -> Doubles:
    return sweep.xyz_m.astype(np.float64) + np.array([0, 0, HEIGHT_M])


def on_road(sweeper: SimulatedSweep, sweep: Sweep, seconds: float) -> Array:
    """(N,) whether a point lies on the lanes, where nothing is but road and actors."""
    xyz = in_vehicle(sweep)
    across = xyz[:, 1] + sweeper.view.drive.ego.at(seconds).position_m[1]
    return np.asarray((np.abs(across) < LANE_M - 0.3) & (sweep.actors < 0) & (xyz[:, 2] < 2.0))


def test_points_of_actors_lie_in_their_boxes(sweeper: SimulatedSweep, sweeps: list[Sweep]) -> None:
    hits = 0
    for seconds, sweep in zip(MOMENTS, sweeps, strict=True):
        truth = boxes_at(sweeper.view.drive, seconds, 200.0)
        row = np.full(len(sweeper.view.drive.actors), -1)
        row[truth.track_ids] = np.arange(len(truth.track_ids))
        mine = sweep.actors >= 0
        k = row[sweep.actors[mine]]
        assert (k >= 0).all()
        away = in_vehicle(sweep)[mine] - truth.centers_m[k]
        c, s = np.cos(truth.yaws_rad[k]), np.sin(truth.yaws_rad[k])
        local = np.stack([c * away[:, 0] + s * away[:, 1], -s * away[:, 0] + c * away[:, 1], away[:, 2]], axis=1)
        inside = (np.abs(local) <= truth.sizes_m[k] / 2 + 0.1).all(axis=1)
        assert inside.mean() >= 0.995, f"at {seconds} s"
        hits += int(mine.sum())
    assert hits > 5000


def test_boxes_near_by_hold_no_points_of_others(sweeper: SimulatedSweep, sweeps: list[Sweep]) -> None:
    for seconds, sweep in zip(MOMENTS, sweeps, strict=True):
        truth = boxes_at(sweeper.view.drive, seconds, 30.0)
        for number, centre, size, yaw in zip(
            truth.track_ids, truth.centers_m, truth.sizes_m, truth.yaws_rad, strict=True
        ):
            away = in_vehicle(sweep) - centre
            c, s = np.cos(yaw), np.sin(yaw)
            local = np.stack([c * away[:, 0] + s * away[:, 1], -s * away[:, 0] + c * away[:, 1], away[:, 2]], axis=1)
            inside = (np.abs(local) < size / 2 - 0.1).all(axis=1)
            if sweeper.view.drive.actors[number].kind not in ("pedestrian", "two-wheeler"):  # they do run into things
                own = sweep.actors[inside] == number
                assert own.mean() > 0.95 if len(own) else True  # a tree's leaves may hang into a van's box


def test_the_road_is_flat(sweeper: SimulatedSweep, sweeps: list[Sweep]) -> None:
    for seconds, sweep in zip(MOMENTS, sweeps, strict=True):
        road = on_road(sweeper, sweep, seconds)
        assert road.sum() > 5000
        assert np.abs(in_vehicle(sweep)[road, 2]).max() < 0.05


def test_noise_is_along_the_beam_and_as_large_as_the_table_says(sweeper: SimulatedSweep, sweeps: list[Sweep]) -> None:
    for seconds, sweep in zip(MOMENTS, sweeps, strict=True):
        xyz = sweep.xyz_m[on_road(sweeper, sweep, seconds)].astype(np.float64)
        distance = np.linalg.norm(xyz, axis=1)
        noise = distance - HEIGHT_M / (-xyz[:, 2] / distance)
        assert abs(noise.mean()) < 0.002
        assert noise.std() == pytest.approx(sweeper.beams.noise_m, rel=0.1)


def test_every_point_lies_on_its_beam_and_at_its_time(sweeper: SimulatedSweep, sweeps: list[Sweep]) -> None:
    table = np.asarray(sweeper.beams.elevations_rad)
    assert (np.diff(table) < 0).all()
    for sweep in sweeps:
        x, y, z = sweep.xyz_m.astype(np.float64).T
        np.testing.assert_allclose(np.arctan2(z, np.hypot(x, y)), table[sweep.ring], atol=1e-5)
        np.testing.assert_allclose(np.arctan2(y, x), sweep.turn * 2 * np.pi - np.pi, atol=1e-5)
        assert np.abs(np.arctan2(y, x)).max() <= FIELD_RAD + 1e-5
        assert set(np.unique(sweep.ring)) == set(range(64))


def test_intensities_and_distances_are_what_such_a_device_gives(sweeper: SimulatedSweep, sweeps: list[Sweep]) -> None:
    for sweep in sweeps:
        assert sweep.intensity.min() >= 0.0
        assert sweep.intensity.max() <= 1.0
        assert sweep.intensity.std() > 0.05
        distance = np.linalg.norm(sweep.xyz_m, axis=1)
        assert distance.min() > CLOSEST_M - 0.1
        assert distance.max() < sweeper.beams.range_m + 0.1
        assert 40_000 < len(distance) < 64 * 2 * FIELD_RAD / sweeper.beams.azimuth_step_rad + 64


def test_a_moment_and_a_seed_are_a_sweep_to_the_last_bit(mount: LidarMount, sweeper: SimulatedSweep) -> None:
    first, second = sweeper.sweep(12.0, 5), SimulatedSweep(ring_street(7, False), mount).sweep(12.0, 5)
    for name in ("xyz_m", "intensity", "ring", "turn", "actors"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    other_noise, other_time = sweeper.sweep(12.0, 6), sweeper.sweep(12.1, 5)
    assert first.xyz_m.tobytes() != other_noise.xyz_m.tobytes()
    assert first.xyz_m.tobytes() != other_time.xyz_m.tobytes()


def test_a_crate_is_seen_where_it_stands_across_the_seam_by_a_turned_vehicle() -> None:
    yaw, start = 0.4, np.array([475.0, 1.0])
    middle = start + 12.0 * np.array([np.cos(yaw), np.sin(yaw)])
    drive = drive_of(still(*start, yaw), crate(still(middle[0] - 480.0, middle[1], yaw), (2.0, 1.0, 1.5)))
    sensor = LidarMount(Pose.from_euler(0, 0, 0, np.array([0.5, 0.2, 1.6])))
    sweep = SimulatedSweep(drive, sensor, vlp16()).sweep(0.0, 1)
    points = sensor.vehicle_from_sensor.apply(sweep.xyz_m[sweep.actors == 0].astype(np.float64))
    assert len(points) > 20
    front = np.abs(points[:, 0] - 11.0) < 0.08
    assert front.mean() > 0.9
    assert points[front, 1].min() == pytest.approx(-0.5, abs=0.06)
    assert points[front, 1].max() == pytest.approx(0.5, abs=0.06)
    assert (points[:, 2] < 1.5 + 0.08).all()


def test_many_beams_pass_through_the_panes_of_cars(sweeper: SimulatedSweep, mount: LidarMount) -> None:
    view = sweeper.view
    shut = View(view.drive, mount.vehicle_from_sensor, np.eye(3), view.surfaces.grid, sweeper.beams.range_m, glass=0.0)
    view.look(7.0, salt=1)
    shut.look(7.0, salt=1)
    nearest, seen = shut.surfaces.inverse, view.surfaces.inverse
    assert (nearest >= seen).all()
    through = nearest > seen + 1e-4
    assert 100 < through.sum() < 0.1 * seen.size
    assert (view.materials[shut.surfaces.ids[through]] == Material.GLASS).all()
