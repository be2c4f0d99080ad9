"""How a vehicle thinks it moves: wheel odometry that drifts, rates with a bias, satellites that wander."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import EgoMotion, Header
from fusion_pipeline.world.drive import Drive

ODOMETRY, RATES, SATELLITE = "ego/odometry", "ego/rates", "ego/satellite"
HZ = {ODOMETRY: 50.0, RATES: 100.0, SATELLITE: 5.0}
UNKNOWN = 1e6  # variance of what a sensor does not measure


@dataclass(frozen=True, slots=True)
class EgoErrors:
    """What is wrong with each; the defaults are chosen as for ordinary cars, not measured. `PERFECT_EGO` has none."""

    scale: float = 0.005  # of the wheels: half a percent too far
    yaw_bias_rps: float = 3e-4  # of the rates, and so of the heading that odometry integrates
    yaw_noise_rps: float = 2e-3  # standard deviation of one measurement
    speed_noise_mps: float = 0.03
    position_noise_m: float = 0.4  # of a satellite's fix
    wander_m: float = 1.2  # of its slow error, which forgets itself in WANDER_S
    accel_bias_mps2: float = 0.02  # of the accelerometers
    accel_noise_mps2: float = 0.05  # standard deviation of one measurement


PERFECT_EGO = EgoErrors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
GRAVITY_MPS2 = 9.80665
_APART_S = 0.02  # between the velocities whose difference is the acceleration
WANDER_S = 30.0


class EgoSensors:
    """The three of them over `seconds` from `start_ns`; each message is a function of its number."""

    def __init__(self, drive: Drive, errors: EgoErrors, seed: int, start_ns: int, seconds: float) -> None:
        self._drive, self._errors, self._seed, self._start_ns = drive, errors, seed, start_ns
        step = 1 / HZ[ODOMETRY]
        count = round(seconds * HZ[ODOMETRY]) + 2
        values, rates = self._sampled(np.arange(count, dtype=np.float64) * step)
        rng = np.random.default_rng([seed, 1])
        along = np.einsum("kd,kd->k", rates[:, :2], np.stack([np.cos(values[:, 3]), np.sin(values[:, 3])], axis=1))
        self._speed = along * (1 + errors.scale) + rng.normal(0, 1, count) * errors.speed_noise_mps
        self._turn = rates[:, 3] + errors.yaw_bias_rps + rng.normal(0, 1, count) * errors.yaw_noise_rps
        # Errors are integrated, the truth is not: without errors odometry is exact.
        yaw_error = np.concatenate([[0.0], np.cumsum((self._turn - rates[:, 3])[:-1]) * step])
        self._yaw = values[:, 3] + yaw_error
        heading = np.stack([np.cos(self._yaw), np.sin(self._yaw)], axis=1)
        wrong = self._speed[:, None] * heading - rates[:, :2]
        self._place = values[:, :3].copy()
        self._place[1:, :2] += np.cumsum(wrong[:-1], axis=0) * step
        fixes = round(seconds * HZ[SATELLITE]) + 2
        keep = np.exp(-1 / (HZ[SATELLITE] * WANDER_S))
        kicks = np.random.default_rng([seed, 2]).normal(0, 1, (fixes, 3)) * errors.wander_m
        self._wander = np.empty((fixes, 3))
        self._wander[0] = kicks[0]
        for k in range(1, fixes):
            self._wander[k] = keep * self._wander[k - 1] + np.sqrt(1 - keep**2) * kicks[k]

    def message(self, topic: str, instant_ns: int, header: Header) -> EgoMotion:
        """What the sensor `topic` says of `instant_ns`; known by which variances are not UNKNOWN."""
        number = round((instant_ns - self._start_ns) * HZ[topic] / SECOND_NS)
        errors = self._errors
        rng = np.random.default_rng([self._seed, 3 if topic == RATES else 4, number])
        if topic == ODOMETRY:
            moved_m = abs(float(self._place[number, 0] - self._place[0, 0]))
            spread, turned = (
                (0.05 + errors.scale * moved_m) ** 2,
                1e-4 + (errors.yaw_bias_rps * number / HZ[topic]) ** 2,
            )
            pose = (spread, spread, 0.01, 1e-4, 1e-4, turned)
            twist = (errors.speed_noise_mps**2 + 1e-4, 1e-4, 1e-4, 1e-4, 1e-4, errors.yaw_noise_rps**2 + 1e-6)
            speed, turn = float(self._speed[number]), float(self._turn[number])
            return _motion(header, self._place[number], float(self._yaw[number]), speed, turn, pose, twist)
        values, rates = self._sampled(np.asarray([number / HZ[topic]]))
        if topic == RATES:
            turn = rates[0, 3] + errors.yaw_bias_rps + rng.normal() * errors.yaw_noise_rps
            known = (UNKNOWN, UNKNOWN, UNKNOWN, 1e-4, 1e-4, errors.yaw_noise_rps**2 + 1e-6)
            felt = self._felt(number / HZ[topic])
            felt += errors.accel_bias_mps2 + rng.normal(0, 1, 3) * errors.accel_noise_mps2
            said = _motion(header, np.zeros(3), 0.0, 0.0, float(turn), (UNKNOWN,) * 6, known)
            return replace(said, acceleration_mps2=felt)
        place = values[0, :3] + self._wander[number] + rng.normal(0, 1, 3) * errors.position_noise_m
        spread = errors.position_noise_m**2 + errors.wander_m**2 + 1e-4
        return _motion(header, place, 0.0, 0.0, 0.0, (spread, spread, 4 * spread, *(UNKNOWN,) * 3), (UNKNOWN,) * 6)

    def _felt(self, time_s: float) -> Doubles:
        """(3,) true proper acceleration of the upright vehicle, in its own axes."""
        times = time_s + np.asarray([-0.5, 0.0, 0.5]) * _APART_S
        values, rates = self._sampled(np.maximum(times, 0.0))
        change = (rates[2, :3] - rates[0, :3]) / _APART_S
        c, s = np.cos(values[1, 3]), np.sin(values[1, 3])
        return np.asarray([c * change[0] + s * change[1], c * change[1] - s * change[0], change[2] + GRAVITY_MPS2])

    def _sampled(self, times_s: Doubles) -> tuple[Doubles, Doubles]:
        """True places, yaw and their rates; in an odometry frame that a ring street's laps do not cut."""
        first_ns = self._start_ns % self._drive.period_ns
        return self._drive.ego.sample(first_ns / SECOND_NS + times_s)


def _motion(
    header: Header, place: Doubles, yaw: float, speed: float, turn: float, pose: tuple[float, ...],
    twist: tuple[float, ...],
) -> EgoMotion:  # fmt: skip
    return EgoMotion(
        header=header,
        position_m=np.asarray(place, np.float64),
        orientation=Pose.from_euler(0.0, 0.0, yaw, np.zeros(3)).quaternion,
        velocity_mps=np.asarray([speed, 0.0, 0.0]),
        angular_velocity_rps=np.asarray([0.0, 0.0, turn]),
        pose_covariance=np.diag(np.asarray(pose, np.float64)),
        twist_covariance=np.diag(np.asarray(twist, np.float64)),
    )
