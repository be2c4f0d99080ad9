"""What saves time gives what the long way gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drive_samples import RING_M, drive_of, still, straight

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.bench.world import rig, street
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.world import sound
from fusion_pipeline.world.motion import STEP_S, Herd, State, Track
from fusion_pipeline.world.sight import in_sight
from fusion_pipeline.world.sound import SoundField
from fusion_pipeline.world.surfaces import RayGrid, Surfaces, spheres_of

TIMES: Doubles = np.concatenate([np.linspace(-70.0, 130.0, 401), [0.0, -STEP_S, STEP_S, 59.9, 59.95, 60.0]])


def tracks() -> list[Track]:
    once = straight(475.0, 2.0, 12.0, -3.0)
    return [once, still(3.0, 1.0, 0.7), Track(once.positions_m, once.yaws_rad, np.asarray([720.0, -180.0, 0.0]), 1.0)]


@pytest.mark.parametrize("track", tracks())
def test_one_instant_is_read_as_many_are(track: Track) -> None:
    values, rates = track.sample(TIMES)
    for value, rate, seconds in zip(values, rates, TIMES.tolist(), strict=True):
        state = track.at(seconds)
        np.testing.assert_allclose([*state.position_m, state.yaw_rad], value, rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose([*state.velocity_mps, state.yaw_rate_rps], rate, rtol=1e-13, atol=1e-11)


def test_a_herd_is_where_its_tracks_are_within_a_step() -> None:
    herd = Herd(tracks())
    for seconds in TIMES.tolist():
        exact = np.asarray([track.at(seconds).position_m for track in tracks()])
        assert np.abs(herd.at(seconds) - exact).max() < 12.5 * STEP_S


def test_a_state_stands_as_its_euler_angles_say() -> None:
    for yaw in (0.0, -0.3, 1.0, np.pi, -7.0):
        state = State(np.asarray([1.0, 2.0, 3.0]), yaw, np.zeros(3), 0.0)
        np.testing.assert_allclose(
            state.world_from_body.matrix, Pose.from_euler(0, 0, yaw, state.position_m).matrix, rtol=0, atol=1e-15
        )


def test_triangles_passed_over_would_not_have_been_seen() -> None:
    rng = np.random.default_rng(3)
    middles = rng.uniform(-60, 60, (300, 1, 1, 3)) + rng.normal(0, 1.5, (300, 8, 1, 3))
    corners = (middles + rng.normal(0, 0.8, (300, 8, 3, 3))).reshape(-1, 3, 3).astype(np.float32)
    ratio = np.linspace(-0.3, 0.2, 120)
    grid = RayGrid(ratio, np.sqrt(1 + ratio**2), np.linspace(-0.2, 0.1, 48))
    everything = np.tile([0.0, 0.0, 0.0, 1e6], (len(spheres_of(corners)), 1))
    looks = []
    for spheres in (None, everything):
        surfaces = Surfaces(grid, 50.0)
        surfaces.draw(corners, np.eye(3), np.zeros(3), 0, np.zeros(len(corners), np.float32), 0, spheres)
        looks.append((surfaces.ids, surfaces.inverse))
    assert (looks[0][0] >= 0).any()
    np.testing.assert_array_equal(looks[0][0], looks[1][0])
    np.testing.assert_array_equal(looks[0][1], looks[1][1])


def test_walls_passed_over_would_not_have_been_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    drive, array = street(True), rig().audios["audio/roof"]
    microphones = array.vehicle_from_sensor.apply(array.microphones_m)

    def heard() -> list[Array]:
        field = SoundField(drive.sounds, drive.solids, microphones, drive.ego, drive.ring_m)
        return [field.render(start, 320) for start in (16_000, 200_000, 800_123)]

    short = heard()
    monkeypatch.setattr(sound, "before_walls", lambda mics, walls, _: np.ones((len(walls), mics.shape[1]), np.bool_))
    np.testing.assert_array_equal(short, heard())


def test_buildings_block_sight_the_short_way_round() -> None:
    drive = replace(drive_of(still(0.0, 0.0)), solids=np.asarray([[470.0, 10.0, 4.0, 2.0, 1.0, 0.0, 6.0]]))
    eye = np.asarray([2.0, 0.0, 1.7])
    behind = np.asarray([RING_M - 22.0, 20.0, 1.0])
    assert not in_sight(drive, eye, behind)
    assert in_sight(drive, eye, behind + np.asarray([0.0, 0.0, 25.0]))
    assert in_sight(drive, eye, np.asarray([20.0, 20.0, 1.0]))
    assert in_sight(drive, eye, eye.copy())
