"""Ego sensors: exact without errors, wrong by as much as told with them."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import EgoMotion, Header
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ego_sensors import (
    HZ,
    ODOMETRY,
    PERFECT_EGO,
    RATES,
    SATELLITE,
    UNKNOWN,
    EgoErrors,
    EgoSensors,
)
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.simulation import START_NS
from fusion_pipeline.world.truth import ego_motion

SECONDS = 20.0


@pytest.fixture(scope="module")
def drive() -> Drive:
    return ring_street(7, False)


def said(drive: Drive, errors: EgoErrors, topic: str, seed: int = 1) -> list[EgoMotion]:
    sensors = EgoSensors(drive, errors, seed, START_NS, SECONDS)
    instants = [START_NS + round(k * SECOND_NS / HZ[topic]) for k in range(round(SECONDS * HZ[topic]))]
    return [sensors.message(topic, instant, Header(topic, instant, instant)) for instant in instants]


def test_without_errors_odometry_is_the_truth(drive: Drive) -> None:
    for message in said(drive, PERFECT_EGO, ODOMETRY)[::100]:
        true = ego_motion(drive, message.header.capture_ns, ODOMETRY, START_NS)
        np.testing.assert_allclose(message.position_m, true.position_m, atol=1e-9)
        np.testing.assert_allclose(message.velocity_mps, true.velocity_mps, atol=1e-6)
        np.testing.assert_allclose(np.abs(message.orientation @ true.orientation), 1.0, atol=1e-12)


def test_wheels_that_turn_too_far_and_a_biased_rate(drive: Drive) -> None:
    long = said(drive, EgoErrors(0.02, 0, 0, 0, 0, 0), ODOMETRY)
    way = np.linalg.norm(long[-1].position_m - long[0].position_m)
    true = 8.0 * (SECONDS - 1 / 50)  # the demo's street is driven at 8 m/s
    assert way == pytest.approx(1.02 * true, rel=1e-3)
    bent = said(drive, EgoErrors(0, 0.01, 0, 0, 0, 0), ODOMETRY)
    yaw = 2 * np.arctan2(bent[-1].orientation[2], bent[-1].orientation[3])
    assert yaw == pytest.approx(0.01 * SECONDS, rel=0.01)
    side = bent[-1].position_m[1] - bent[0].position_m[1]
    assert side == pytest.approx(0.5 * 0.01 * 8.0 * SECONDS**2, rel=0.02)  # half of bias, speed and time squared


def test_rates_and_fixes_are_as_good_as_they_say(drive: Drive) -> None:
    errors = EgoErrors(0, 0.01, 0.02, 0, 0.5, 2.0)
    rates = said(drive, errors, RATES)
    turns = np.asarray([message.angular_velocity_rps[2] for message in rates])
    assert turns.mean() == pytest.approx(0.01, abs=0.003)
    assert turns.std() == pytest.approx(0.02, rel=0.1)
    assert rates[0].pose_covariance[0, 0] == UNKNOWN
    off = []
    for seed in range(12):
        fixes = said(drive, errors, SATELLITE, seed)
        true = [ego_motion(drive, fix.header.capture_ns, SATELLITE, START_NS).position_m for fix in fixes]
        off.append([fix.position_m - at for fix, at in zip(fixes, true, strict=True)])
    spread = np.asarray(off).std()
    assert spread == pytest.approx(np.hypot(0.5, 2.0), rel=0.3)
    steps = np.diff(np.asarray(off), axis=1).std()
    assert steps < 0.6 * spread  # it wanders, it does not jump
    assert fixes[0].pose_covariance[0, 0] == pytest.approx(0.25 + 4.0, rel=0.01)


def test_accelerometers_feel_gravity_and_the_curve(drive: Drive) -> None:
    felt = np.asarray([message.acceleration_mps2 for message in said(drive, PERFECT_EGO, RATES)])
    np.testing.assert_allclose(felt[:, 2], 9.80665, atol=1e-6)
    turns = said(drive, PERFECT_EGO, RATES)
    true = [ego_motion(drive, message.header.capture_ns, RATES, START_NS) for message in turns]
    across = [motion.velocity_mps[0] * motion.angular_velocity_rps[2] for motion in true]
    np.testing.assert_allclose(felt[1:, 1], across[1:], atol=0.02)
    biased = np.asarray([m.acceleration_mps2 for m in said(drive, EgoErrors(accel_bias_mps2=0.5), RATES)])
    assert (biased - felt).mean() == pytest.approx(0.5, abs=0.02)
    assert np.isnan(said(drive, EgoErrors(), ODOMETRY)[0].acceleration_mps2).all()


def test_the_same_each_time(drive: Drive) -> None:
    for topic in HZ:
        one, two = said(drive, EgoErrors(), topic)[7], said(drive, EgoErrors(), topic)[7]
        assert one.position_m.tobytes() == two.position_m.tobytes()
        assert one.angular_velocity_rps.tobytes() == two.angular_velocity_rps.tobytes()
