"""Who hides whom from a sensor: the share of each actor's outline that it sees, and what stands before the rest.

A LiDAR sees through panes where its beams pass. What lies outside a sensor's field is neither seen nor hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from fusion_pipeline.arrays import Ints
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.surfaces import RayGrid, Surfaces
from fusion_pipeline.world.view import View

LEAST_SHARE = 0.02  # of the outline: who hides less is not named
Strides = tuple[int, int]  # of columns and rows: every so many rays are looked at
LIDAR_STRIDES, CAMERA_STRIDES = (2, 1), (4, 4)


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
    """Looks again with some rays of views that a sensor has just drawn, at each actor as if it were alone."""

    def __init__(self, drive: Drive, strides: Strides) -> None:
        self._drive, self._strides = drive, strides
        self._alone: dict[int, Surfaces] = {}  # by the view's place in the list

    def look(self, views: Sequence[View]) -> Sight:
        """Who is seen and who hidden in the views as they were last drawn; the same views at each call."""
        count = len(self._drive.actors)
        before = np.zeros((count, count + 1), np.int64)  # rays of an actor that meet another first; last: scenery
        for number, view in enumerate(views):
            if number not in self._alone:
                self._alone[number] = _thinned(view.surfaces, self._strides)
                self._alone[number].clear()
            alone = self._alone[number]
            for actor in view.drawn:
                view.look_at(actor, alone)
                tally(alone.inverse, alone.ids, view.surfaces.ids, *self._strides, view.owners, before[actor])
        outline, visible = before.sum(axis=1), before.diagonal().copy()
        hidden: dict[int, dict[int, float]] = {}
        for actor in np.flatnonzero(outline > visible).tolist():
            shares = before[actor] / outline[actor]
            shares[actor] = 0.0
            who = np.flatnonzero(shares >= LEAST_SHARE)
            hidden[actor] = {int(k) if k < count else -1: float(shares[k]) for k in who}
        return Sight(outline, visible, hidden)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def tally(
    inverse: Any, alone: Any, seen: Any, columns: int, rows: int, owners: Any, before: Any
) -> None:  # fmt: skip
    """Count into `before` (N + 1,) whom the rays meet that meet one actor alone, and forget what was drawn of it.

    `inverse` and `alone` (W', H') are of every so many columns and rows of `seen` (W, H), which has triangles;
    `owners` (T + 1,) says whose they are; -1: nobody's, as all scenery is.
    """
    for u in range(alone.shape[0]):
        for v in range(alone.shape[1]):
            if alone[u, v] >= 0:
                before[owners[seen[u * columns, v * rows]]] += 1
                alone[u, v], inverse[u, v] = -1, 0.0


def _thinned(surfaces: Surfaces, strides: Strides) -> Surfaces:
    grid, (columns, rows) = surfaces.grid, strides
    return Surfaces(RayGrid(grid.ratio[::columns], grid.stretch[::columns], grid.slope[::rows]), surfaces.reach_m)
