"""Poses at known times as ego motion: speed and rates come from the neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.pose import Pose, slerp
from fusion_pipeline.messages import EgoMotion, Header

PLACE_STD_M, TURN_STD_RAD, SPEED_STD_MPS, RATE_STD_RPS = 0.05, 0.002, 0.1, 0.01  # assumed: data sets do not say


class PoseTrack:
    """fixed_from_vehicle by number, in order of time."""

    def __init__(self, topic: str, frame: str, times_ns: Sequence[int], pose: Callable[[int], Pose]) -> None:
        """`pose` gives that of a number; it may raise ValueError."""
        self.times_ns, self.pose = times_ns, pose
        self._topic, self._frame = topic, frame

    def motion(self, number: int) -> EgoMotion:
        """Place at that time, speed and rates over the times before and after it."""
        from scipy.spatial.transform import Rotation

        before, after = max(0, number - 1), min(len(self.times_ns) - 1, number + 1)
        first, here, last = self.pose(before), self.pose(number), self.pose(after)
        seconds = max((self.times_ns[after] - self.times_ns[before]) / SECOND_NS, 1e-9)
        speed = here.rotation.T @ (last.translation_m - first.translation_m) / seconds
        turn = np.asarray(Rotation.from_matrix(first.rotation.T @ last.rotation).as_rotvec(), np.float64) / seconds
        at = self.times_ns[number]
        place, pace = [PLACE_STD_M] * 3 + [TURN_STD_RAD] * 3, [SPEED_STD_MPS] * 3 + [RATE_STD_RPS] * 3
        return EgoMotion(
            Header(self._topic, at, at, self._frame), here.translation_m, here.quaternion, speed, turn,
            np.diag(np.square(place)), np.diag(np.square(pace)),
        )  # fmt: skip

    def at(self, time_ns: int) -> Pose:
        """Between the two neighbours of a time; the first or last beyond them."""
        place = int(np.searchsorted(np.asarray(self.times_ns), time_ns))
        if place == 0 or place == len(self.times_ns):
            return self.pose(min(place, len(self.times_ns) - 1))
        before, after = self.pose(place - 1), self.pose(place)
        low, high = self.times_ns[place - 1], self.times_ns[place]
        share = (time_ns - low) / (high - low)
        moved: Doubles = before.translation_m + share * (after.translation_m - before.translation_m)
        return Pose.from_quaternion(slerp(before.quaternion, after.quaternion, share), moved)
