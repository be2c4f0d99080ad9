"""Truth of a drive against homogeneous matrices, round the ring and at its seam."""

from __future__ import annotations

import numpy as np
import pytest
from drive_samples import PERIOD_S, RING_M, crate, drive_of, still, straight

from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import nearest_image
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.truth import bearing_rad, boxes, boxes_at, ego_motion

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def turned() -> Drive:
    """The ego vehicle drives askew, so that frames cannot be mixed up unnoticed."""
    others = [crate(still(20.0, 5.0, 2.0)), crate(straight(475.0, -4.0, -3.0, 1.0), label=3), crate(still(250.0, 0.0))]
    return drive_of(straight(470.0, -2.0, 6.0, 2.5), *others)


def apart(a: float, b: float) -> float:
    return abs(float(np.angle(np.exp(1j * (a - b)))))


@pytest.mark.parametrize("seconds", [0.0, 1.3, 9.77, 31.0])
def test_boxes_are_those_of_matrices(turned: Drive, seconds: float) -> None:
    ego = turned.ego.at(seconds)
    vehicle_from_world = np.linalg.inv(ego.world_from_body.matrix)
    found = boxes_at(turned, seconds, reach_m=1000.0)
    assert found.track_ids.tolist() == [0, 1, 2]
    assert found.labels.tolist() == [0, 3, 0]
    for row, actor in enumerate(turned.actors):
        state = actor.track.at(seconds)
        middle = state.position_m + np.array([0, 0, actor.size_m[2] / 2])
        images = [vehicle_from_world @ [*(middle + np.array([k * RING_M, 0, 0])), 1.0] for k in range(-3, 4)]
        nearest = min(images, key=lambda image: float(np.hypot(image[0], image[1])))
        np.testing.assert_allclose(found.centers_m[row], nearest[:3], atol=1e-3)
        np.testing.assert_allclose(found.sizes_m[row], actor.size_m, rtol=1e-6)
        heading = vehicle_from_world[:3, :3] @ [np.cos(state.yaw_rad), np.sin(state.yaw_rad), 0.0]
        assert apart(found.yaws_rad[row], np.arctan2(heading[1], heading[0])) < 1e-5
        assert -np.pi <= found.yaws_rad[row] <= np.pi
        over_ground = vehicle_from_world[:3, :3] @ state.velocity_mps
        np.testing.assert_allclose(found.velocities_mps[row], over_ground[:2], atol=1e-4)


def test_whoever_is_past_the_seam_is_just_ahead() -> None:
    ahead, behind, across = crate(still(3.0, 1.0)), crate(still(472.0, 1.0)), crate(still(239.0, 1.0))
    drive = drive_of(still(478.0, 0.0), ahead, behind, across)
    np.testing.assert_allclose(boxes_at(drive, 0.0, 50.0).centers_m[:, 0], [5.0, -6.0], atol=1e-4)
    assert boxes_at(drive, 0.0, 300.0).centers_m[2, 0] == pytest.approx(-239.0, abs=1e-3)
    assert nearest_image(477.0, RING_M) == -3.0
    assert nearest_image(-1000.0, RING_M) == -40.0
    assert nearest_image(477.0, 0.0) == 477.0


def test_reach_is_a_circle_round_the_vehicle() -> None:
    drive = drive_of(still(100.0, 0.0), crate(still(130.0, 40.0)), crate(still(130.0, 40.1)))
    assert boxes_at(drive, 0.0, 50.001).track_ids.tolist() == [0]
    assert boxes_at(drive, 0.0, 51.0).track_ids.tolist() == [0, 1]
    nobody = boxes_at(drive, 0.0, 10.0)
    assert nobody.centers_m.shape == (0, 3)
    assert nobody.std.shape == (0, 8)


def test_vehicle_time_is_taken_by_the_period() -> None:
    drive = ring_street(7, False)
    now = 1_700_000_000 * SECOND + 987_654_321
    first, again = boxes(drive, now), boxes(drive, now + drive.period_ns)
    np.testing.assert_array_equal(first.centers_m, again.centers_m)
    np.testing.assert_array_equal(first.centers_m, boxes_at(drive, drive.seconds(now)).centers_m)
    assert len(first.centers_m) > 10
    later = boxes(drive, now + SECOND // 2)
    assert np.abs(later.centers_m[:5] - first.centers_m[:5]).max() > 0.1


@pytest.mark.parametrize(
    ("place", "yaw", "degrees"),
    [((12.0, 0.0), 0.0, 0), ((10.0, 8.0), 0.0, 90), ((12.0, 2.0), 0.0, 45), ((2.0, -0.01), 0.0, -179.93),
     ((12.0, 2.0), 0.75, 45 - np.rad2deg(0.75)), ((475.0, 15.0), 0.0, 135), ((2.0, 0.0), -3.0, np.rad2deg(3) - 180)],
)  # fmt: skip
def test_bearings(place: tuple[float, float], yaw: float, degrees: float) -> None:
    drive = drive_of(still(10.0, 0.0, yaw))
    assert apart(bearing_rad(drive, 3.0, np.array([*place, 1.0])), np.deg2rad(degrees)) < 2e-3


def test_odometry_goes_on_over_the_end_of_a_lap() -> None:
    drive = ring_street(7, False)
    since = 5 * drive.period_ns + 20 * SECOND
    end = 6 * drive.period_ns
    before, after = (ego_motion(drive, end + d, "ego/odometry", since) for d in (-SECOND // 10, SECOND // 10))
    step = after.position_m - before.position_m
    np.testing.assert_allclose(step, [8.0 * 0.2, 0.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(after.velocity_mps, [8.0, 0.0, 0.0], atol=1e-3)
    assert after.header.capture_ns == end + SECOND // 10
    assert ego_motion(drive, since, "ego/odometry", since).position_m[0] == pytest.approx(160.0, abs=1e-3)


def test_odometry_gives_velocity_in_the_vehicle_frame_and_the_heading(turned: Drive) -> None:
    ego = ego_motion(turned, 2 * SECOND, "ego/odometry", 0)
    speed, yaw = np.hypot(6.0, 2.5), np.arctan2(2.5, 6.0)
    np.testing.assert_allclose(ego.velocity_mps, [speed, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(ego.orientation, [0, 0, np.sin(yaw / 2), np.cos(yaw / 2)], atol=1e-6)
    np.testing.assert_allclose(ego.position_m, [482.0, 3.0, 0.0], atol=1e-6)
    assert turned.period_s == PERIOD_S
