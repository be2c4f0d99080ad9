"""LiDARs against geometry: exact ranges, all round, rolling in time, other makes, fog."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.beams import BEAM_TABLES, BeamTable, beam_table
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import block
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.scenarios.pavement import Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage
from fusion_pipeline.world.sweep import SimulatedSweep, Sweep
from fusion_pipeline.world.weather import Weather

HEIGHT_M = 1.73
MOUNT = LidarMount(Pose(np.eye(3), np.asarray([0.0, 0.0, HEIGHT_M])))
SECONDS = 4.0
EGO_MPS, VAN_MPS = 10.0, 14.0


def yard(ego_mps: float) -> Drive:
    """A box of 4 x 2 x 3 m 20 m ahead, a wall 12 m to the left, a van that comes along it, nothing else."""
    stage = Stage(1, SECONDS, False)
    steps = np.arange(round(SECONDS / 0.05) + 1) * 0.05
    ego = stage.along(400 + ego_mps * steps, 0.0)
    stage.scenery(block((4.0, 2.0, 3.0), (422.0 + ego_mps * 2, 0.0, 0.0), Material.WALL))
    stage.wall((300, 600), (12.0, 12.4), 5.0)
    van = Track(
        np.stack([400 + VAN_MPS * steps, np.full_like(steps, 7.0), 0 * steps], axis=1)[:-1], np.zeros(len(steps) - 1),
        np.zeros(3), periodic=False,
    )  # fmt: skip
    stage.put("van", van)
    return stage.drive(ego, Pavement(LENGTH_M))


def test_ranges_are_exact_without_noise() -> None:
    sweep = SimulatedSweep(yard(0.0), MOUNT, field_rad=np.pi, noisy=False).sweep(0.1, 1)
    x, y, z = sweep.xyz_m.astype(np.float64).T
    road = (np.abs(z + HEIGHT_M) < 0.1) & (sweep.actors < 0) & (y < 11) & ((np.abs(y) > 1.1) | (x < 19))
    wall = (y > 11.5) & (z > -1) & (sweep.actors < 0)
    front = (np.abs(y) < 0.99) & (x > 15) & (x < 21) & (z > -1.6) & (z < 1.2)
    assert min(road.sum(), wall.sum(), front.sum()) > 100
    assert np.abs(z[road] + HEIGHT_M).max() < 1e-3
    assert np.abs(y[wall] - 12.0).max() < 1e-3
    assert np.abs(x[front] - 20.0).max() < 1e-3


def test_all_round_each_column_fires_once() -> None:
    sweep = SimulatedSweep(yard(0.0), MOUNT, field_rad=np.pi, noisy=False).sweep(0.1, 1)
    azimuth = np.arctan2(sweep.xyz_m[:, 1], sweep.xyz_m[:, 0])
    error = np.angle(np.exp(1j * (azimuth - (sweep.turn * 2 * np.pi - np.pi))))
    assert np.abs(error).max() < 1e-4
    pairs = sweep.ring.astype(np.int64) * 10_000 + np.round(sweep.turn * 2000).astype(np.int64)
    assert len(np.unique(pairs)) == len(pairs)
    assert {round(v) for v in np.degrees(azimuth)} >= {-179, -135, -90, -45, 0, 45, 90, 135, 179}


def moving(rolling: bool) -> Sweep:
    return SimulatedSweep(yard(EGO_MPS), MOUNT, field_rad=np.pi, rolling=rolling, noisy=False).sweep(2.0, 1)


def test_a_rolling_sweep_sees_each_thing_when_its_beam_passes() -> None:
    sweep = moving(rolling=True)
    after = (sweep.turn.astype(np.float64) - 0.5) * 0.1
    x, y, z = sweep.xyz_m.astype(np.float64).T
    wall = (y > 11.5) & (z > -1) & (z < 3) & (sweep.actors < 0)
    assert np.abs(y[wall] - 12.0).max() < 1e-3  # we drive along it
    front = (np.abs(y) < 0.99) & (x > 15) & (x < 21) & (z > -1.6) & (z < 1.2)
    np.testing.assert_allclose(x[front], 20.0 - EGO_MPS * after[front], atol=2e-3)
    still = moving(rolling=False)
    mine, others = (s.xyz_m[s.actors == 0].astype(np.float64) for s in (sweep, still))
    times = after[sweep.actors == 0]
    # The van's rear, as it is at mid-sweep and as each beam met it: 4 m/s faster than we are.
    rear = np.min(others[:, 0])
    moved = mine[:, 0] - (VAN_MPS - EGO_MPS) * times
    assert abs(np.min(moved) - rear) < 0.01
    assert len(mine) > 200


@pytest.mark.parametrize("name", BEAM_TABLES)
def test_every_make_of_lidar(name: str) -> None:
    beams = beam_table(name)
    sweep = SimulatedSweep(yard(0.0), MOUNT, beams, field_rad=np.pi, noisy=False).sweep(0.1, 1)
    elevation = np.arctan2(sweep.xyz_m[:, 2], np.hypot(sweep.xyz_m[:, 0], sweep.xyz_m[:, 1]))
    np.testing.assert_allclose(elevation, np.asarray(beams.elevations_rad)[sweep.ring], atol=1e-4)
    assert np.linalg.norm(sweep.xyz_m, axis=1).max() <= beams.range_m


def test_an_unknown_make_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"did you mean VLP-16\? known: HDL-64E"):
        beam_table("VLP16")
    assert isinstance(beam_table("OS1-64"), BeamTable)


def test_fog_takes_the_far_and_adds_echoes_of_its_own() -> None:
    drive = ring_street(7, False)
    clear, fog, rain = (
        SimulatedSweep(drive, MOUNT, weather=weather).sweep(5.0, 3)
        for weather in (Weather(), Weather(visibility_m=60.0), Weather(rain_mm_h=10.0))
    )
    reach = [np.quantile(np.linalg.norm(sweep.xyz_m, axis=1), 0.99) for sweep in (clear, rain, fog)]
    assert reach[0] > reach[1]
    assert reach[0] > 1.3 * reach[2]
    assert len(fog.xyz_m) < 0.98 * len(clear.xyz_m)
    high = fog.xyz_m[(fog.actors < 0) & (fog.xyz_m[:, 2] > -1.2)]
    near = np.linalg.norm(high, axis=1) < 6
    assert near.sum() > 20
    assert fog.intensity.mean() < clear.intensity.mean()
    with pytest.raises(ValueError, match="visibility_m"):
        Weather(visibility_m=0)


def test_second_returns_lie_on_their_beams_behind_panes_and_edges() -> None:
    drive = ring_street(7, False)
    one, two = (SimulatedSweep(drive, MOUNT, returns=returns, noisy=False) for returns in (1, 2))
    first, both = one.sweep(3.0, 5), two.sweep(3.0, 5)
    extra = len(both.xyz_m) - len(first.xyz_m)
    assert 0.002 < extra / len(first.xyz_m) < 0.2
    beams = np.stack([both.ring, np.rint(both.turn * 1e5).astype(np.int64)], axis=1)
    _, counts = np.unique(beams, axis=0, return_counts=True)
    assert set(counts) == {1, 2}
    assert (counts == 2).sum() == extra
    with pytest.raises(ValueError, match="1 or 2 returns, not 3"):
        SimulatedSweep(drive, MOUNT, returns=3)
