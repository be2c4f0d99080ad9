"""Cars that follow each other: the intelligent driver model (Treiber, Hennecke and Helbing, 2000)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.motion import STEP_S

ACCELERATION, BRAKING, HEADWAY_S, GAP_M, HARDEST = 1.5, 2.0, 1.3, 2.0, 6.0  # m/s2, m/s2, s, m, m/s2


@dataclass(frozen=True, slots=True)
class Driver:
    """One vehicle of a lane."""

    start_m: float  # of its middle, along the lane
    length_m: float
    wish_mps: float  # speed on a free road


def follow(
    drivers: Sequence[Driver], seconds: float, stop: Callable[[float], float | None] = lambda t: None
) -> Doubles:
    """(N, K + 1) places along a lane of drivers sorted from the first to the last, every STEP_S.

    `stop(t)` is where the front of the first must not pass at time t, or None. All begin at the speed they wish for.
    """
    count = round(seconds / STEP_S)
    place = np.asarray([driver.start_m for driver in drivers], np.float64)
    speed = np.asarray([driver.wish_mps for driver in drivers], np.float64)
    lengths = [driver.length_m for driver in drivers]
    out = np.empty((len(drivers), count + 1))
    for k in range(count + 1):
        out[:, k] = place
        line = stop(k * STEP_S)
        for n, driver in enumerate(drivers):
            wished = max(driver.wish_mps, 0.1)
            pull = 1 - (speed[n] / wished) ** 4
            if n > 0:
                gap, lead = place[n - 1] - lengths[n - 1] / 2 - place[n] - lengths[n] / 2, float(speed[n - 1])
            elif line is not None and place[n] + lengths[n] / 2 < line + 0.5:
                gap, lead = line - place[n] - lengths[n] / 2 + GAP_M, 0.0
            else:
                gap, lead = np.inf, 0.0
            if np.isfinite(gap):
                root = 2 * np.sqrt(ACCELERATION * BRAKING)
                wanted = GAP_M + max(0.0, speed[n] * HEADWAY_S + speed[n] * (speed[n] - lead) / root)
                pull -= (wanted / max(gap, 0.3)) ** 2
            step = float(np.clip(ACCELERATION * pull, -HARDEST, ACCELERATION)) * STEP_S
            speed[n] = max(0.0, speed[n] + step)
        place = place + speed * STEP_S
    return out
