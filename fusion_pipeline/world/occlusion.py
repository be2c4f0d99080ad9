"""Who hides whom from a sensor: the share of each actor's outline that it sees, and what stands before the rest.

Panes count as walls here, and what lies outside the sensor's field is neither seen nor hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.arrays import Doubles, Ints
from fusion_pipeline.rig import CameraMount, LidarMount
from fusion_pipeline.world.beams import BeamTable
from fusion_pipeline.world.camera import OPTICAL_AXES
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.lens import Lens
from fusion_pipeline.world.surfaces import RayGrid, Surfaces
from fusion_pipeline.world.view import View

FACES, COLUMN_RAD = 4, float(np.deg2rad(0.4))
EVERY_PX = 4  # rays of a camera are this far apart
LEAST_SHARE = 0.02  # of the outline: who hides less is not named


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one sensor sees of each of the drive's N actors."""

    outline: Ints  # (N,) rays that meet it where nothing else is; 0: outside the field or too far away
    visible: Ints  # (N,) of them those that meet it
    hidden_by: Mapping[int, Mapping[int, float]] = field(default_factory=dict)  # actor -> actor or -1 -> share

    def share(self, actor: int) -> float | None:
        """Of the outline of an actor what is seen, 0 to 1; None outside the field."""
        return float(self.visible[actor] / self.outline[actor]) if self.outline[actor] else None


class Onlooker:
    """Looks with the rays of a sensor, only fewer."""

    def __init__(self, drive: Drive, views: tuple[View, ...]) -> None:
        self._drive, self._views = drive, views
        self._alone = tuple(Surfaces(view.surfaces.grid, view.surfaces.reach_m) for view in views)

    @classmethod
    def of_lidar(cls, drive: Drive, mount: LidarMount, beams: BeamTable) -> Onlooker:
        """All round, with every beam."""
        half = np.pi / FACES
        ratio = np.tan(np.arange(-half, half, COLUMN_RAD))
        slope = np.tan(np.sort(np.asarray(beams.elevations_rad)))
        grid = RayGrid(ratio, np.sqrt(1 + ratio**2), slope)
        views = []
        for number in range(FACES):
            c, s = np.cos(2 * half * number), np.sin(2 * half * number)
            turn: Doubles = np.asarray([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
            views.append(View(drive, mount.vehicle_from_sensor, turn, grid, beams.range_m))
        return cls(drive, tuple(views))

    @classmethod
    def of_camera(cls, drive: Drive, mount: CameraMount, reach_m: float) -> Onlooker:
        """With some of its pixels. Raises ValueError where the lens has no rays."""
        whole = Lens(mount.model).grid
        grid = RayGrid(whole.ratio[::EVERY_PX], whole.stretch[::EVERY_PX], whole.slope[::EVERY_PX])
        return cls(drive, (View(drive, mount.vehicle_from_sensor, OPTICAL_AXES, grid, reach_m),))

    def look(self, seconds: float) -> Sight:
        """Who is seen and who hidden at a time of the drive."""
        count = len(self._drive.actors)
        outline, visible = np.zeros(count, np.int64), np.zeros(count, np.int64)
        before = np.zeros((count, count + 1), np.int64)  # rays of an actor that meet another first; last: scenery
        for view, alone in zip(self._views, self._alone, strict=True):
            view.look(seconds)
            seen = np.append(view.actors, -1)[view.surfaces.ids]  # where no triangle is, the last entry
            for actor in range(count):
                if not view.look_at(actor, seconds, alone):
                    continue
                first = seen[alone.ids >= 0]
                outline[actor] += len(first)
                hits = np.bincount(first % (count + 1), minlength=count + 1)
                visible[actor] += hits[actor]
                before[actor] += hits
        hidden: dict[int, dict[int, float]] = {}
        for actor in np.flatnonzero(outline > visible).tolist():
            shares = before[actor] / outline[actor]
            shares[actor] = 0.0
            who = np.flatnonzero(shares >= LEAST_SHARE)
            hidden[actor] = {int(k) if k < count else -1: float(shares[k]) for k in who}
        return Sight(outline, visible, hidden)
