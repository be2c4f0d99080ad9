"""Ego motion of KITTI: the readings of its OXTS RT3003."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.kitti_files import EGO, LARGEST, VEHICLE_FROM_VELO, matrix, table
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import EgoMotion, Header

EARTH_M = 6378137.0
FIELDS = 30  # dataformat.txt of the raw data
TURN_STD_RAD, RATE_STD_RPS = 0.002, 0.002  # of an RT3003 by its manual: 0.03 degrees roll and pitch, 0.1 heading


class Oxts:
    """Readings as ego motion in a frame whose origin is the vehicle's first place."""

    def __init__(self, vehicle_from_imu: Pose) -> None:
        self._imu = vehicle_from_imu
        self._origin: Pose | None = None
        self._scale = 1.0

    def begin(self, text: str) -> None:
        """The reading that the frame is tied to. Raises FormError."""
        values = _values(text)
        self._scale = float(np.cos(np.deg2rad(values[0])))
        self._origin = (self._place(values) @ self._imu.inverse()).inverse()

    def motion(self, text: str, capture_ns: int) -> EgoMotion:
        """One reading: at the vehicle's origin, which the IMU's lever arm lies beside. Raises FormError."""
        values = _values(text)
        if self._origin is None:
            self.begin(text)
        assert self._origin is not None
        pose = self._origin @ self._place(values) @ self._imu.inverse()
        level = Pose.from_euler(values[3], values[4], 0.0, np.zeros(3)).rotation  # speeds are level, rates are not
        rate = self._imu.rotation @ values[17:20]
        speed = self._imu.rotation @ (level.T @ values[8:11]) + np.cross(rate, -self._imu.translation_m)
        place, pace = max(float(values[23]), 0.01), max(float(values[24]), 0.01)
        return EgoMotion(
            Header(EGO, capture_ns, capture_ns, "odometry"), pose.translation_m, pose.quaternion, speed, rate,
            np.diag(np.square([place] * 3 + [TURN_STD_RAD] * 3)), np.diag(np.square([pace] * 3 + [RATE_STD_RPS] * 3)),
            self._imu.rotation @ values[11:14],
        )  # fmt: skip

    def _place(self, values: Doubles) -> Pose:
        """world_from_imu by Mercator's projection, as the development kit's convertOxtsToPose.m has it."""
        x = self._scale * np.deg2rad(values[1]) * EARTH_M
        y = self._scale * EARTH_M * np.log(np.tan(np.deg2rad((90.0 + values[0]) / 2)))
        return Pose.from_euler(values[3], values[4], values[5], np.asarray([x, y, values[2]]))


def _values(text: str) -> Doubles:
    try:
        values = np.asarray(text.split(), np.float64)
    except ValueError:
        raise FormError("no oxts reading") from None
    if len(values) != FIELDS or not (np.abs(values) < LARGEST).all() or abs(values[0]) > 89 or abs(values[1]) > 360:
        raise FormError("no oxts reading")
    return values


def vehicle_from_imu(path: Path, keys: Sequence[str] = ("R", "T")) -> Pose:
    """From calib_imu_to_velo.txt, or a row such as Tr_imu_velo; the Velodyne's place where there is none. Raises
    LogError where it cannot be used.
    """
    found = table(path) if path.is_file() else {}
    if keys[0] not in found:
        return VEHICLE_FROM_VELO
    try:
        if len(keys) == 1:
            rows = matrix(found, keys[0], path, 3, 4)
            return VEHICLE_FROM_VELO @ Pose(rows[:, :3], rows[:, 3])
        return VEHICLE_FROM_VELO @ Pose(matrix(found, keys[0], path, 3, 3), matrix(found, keys[1], path, 3))
    except ValueError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"{path}: where the IMU sits cannot be used: {error}") from None
