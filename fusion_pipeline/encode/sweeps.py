"""The sweeps before this one, moved to where the vehicle is now."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.clock import MILLISECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import EgoMotion

OLDEST_NS, KEPT = 350 * MILLISECOND_NS, 2
BODY_M = (-0.3, 2.9)  # heights above the vehicle frame's ground, of which bodies are kept
EVERY = 2  # points suffice to say which cells are occupied


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    instant_ns: int
    world_from_vehicle: Pose
    points_m: Floats


class Sweeps:
    """Remembers the last two sweeps. One that goes back in time, or comes too late, begins anew."""

    def __init__(self) -> None:
        self._kept: deque[_Sweep] = deque(maxlen=KEPT)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def __call__(self, instant_ns: int, points_m: Floats, egos: tuple[EgoMotion, ...]) -> tuple[Floats, ...]:
        """Points (K, 3) of the earlier sweeps in the vehicle frame of `instant_ns`, newest first; then keeps this one.

        Without an ego pose there are none.
        """
        if not egos:
            self._kept.clear()
            return ()
        here = Pose.from_quaternion(egos[0].orientation, egos[0].position_m)
        if self._kept and not 0 < instant_ns - self._kept[0].instant_ns <= OLDEST_NS:
            self._kept.clear()
        back = here.inverse()
        moved = tuple(
            np.asarray((back @ sweep.world_from_vehicle).apply(sweep.points_m), np.float32)
            for sweep in self._kept
            if instant_ns - sweep.instant_ns <= OLDEST_NS
        )
        high = (points_m[:, 2] > BODY_M[0]) & (points_m[:, 2] < BODY_M[1])
        self._kept.appendleft(_Sweep(instant_ns, here, points_m[high][::EVERY]))
        return moved
