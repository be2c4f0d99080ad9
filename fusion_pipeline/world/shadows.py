"""What the sun sees of a drive: whatever it does not see lies in shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.shade import SUN
from fusion_pipeline.world.surfaces import RayGrid
from fusion_pipeline.world.view import View

FAR_M = 1500.0  # of the eye: its rays are parallel to 2 degrees
AHEAD_M, HALF_M, STEP_M = 42.0, 56.0, 0.14  # what is seen: a square round a place ahead of the vehicle


@dataclass(frozen=True, slots=True, eq=False)
class Sunlight:
    """Inverse forward distance (W, H) from the sun, its axes_from_world, its place, and side, step, upright, step."""

    inverse: Floats
    turn: Doubles
    eye_m: Doubles
    grid: Doubles


NO_SHADOWS = Sunlight(np.zeros((1, 1), np.float32), np.eye(3), np.zeros(3), np.asarray([0.0, 1.0, 0.0, 1.0]))


class SunView:
    """Looks at the neighbourhood of the vehicle along the sun's rays."""

    def __init__(self, drive: Drive) -> None:
        reach, step = HALF_M / FAR_M, STEP_M / FAR_M
        lines = np.arange(-reach, reach, step)
        self._grid = RayGrid(lines, np.ones(len(lines)), lines)
        self._drive = drive
        # The vehicle turns, the sun does not: the eye hangs over the vehicle with axes of the world's.
        sideways = np.cross([0.0, 0.0, 1.0], -SUN)
        sideways /= np.linalg.norm(sideways)
        self._turn = np.stack([-SUN, sideways, np.cross(-SUN, sideways)])
        self._view = View(drive, Pose(np.eye(3), np.zeros(3)), np.eye(3), self._grid, FAR_M + 2 * HALF_M)

    def look(self, seconds: float) -> Sunlight:
        """The sun's view at a time of the drive."""
        ego = self._drive.ego.at(seconds)
        forward = np.asarray([np.cos(ego.yaw_rad), np.sin(ego.yaw_rad), 0.0])
        eye = ego.position_m + AHEAD_M * forward + FAR_M * SUN
        # What stays the same in the view is the vehicle's place; the sensor's pose is set for each look.
        axes = self._view.look_from(seconds, Pose(self._turn.T.copy(), eye))
        assert axes is not None
        lines = self._grid.ratio
        grid = np.asarray([lines[0], lines[1] - lines[0], lines[0], lines[1] - lines[0]])
        return Sunlight(self._view.surfaces.inverse, np.ascontiguousarray(self._turn), eye, grid)
