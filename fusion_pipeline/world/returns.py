"""Second returns: a beam is as wide as a thumb, and panes give a faint echo before what lies behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats, Ints
from fusion_pipeline.world.surfaces import RayGrid

APART_M = 1.0  # echoes closer to each other than this are one: a pulse is 5 to 10 ns long
PANE_SHARE, PANE_LIGHT = 0.35, 0.04  # of the panes that a beam passes: how many echo, how brightly


@dataclass(frozen=True, slots=True, eq=False)
class Echoes:
    """N echoes of one face of a sweep: points in the face's axes, and the ray each belongs to."""

    xyz_m: Floats  # (N, 3)
    light: Floats  # (N,) 0 to 1
    column: Ints  # (N,)
    beam: Ints  # (N,)
    triangle: Ints  # (N,) -1 for the ground

    def joined(self, other: Echoes) -> Echoes:
        """All of both, ray by ray, first echoes first."""
        both = [np.concatenate([getattr(self, name), getattr(other, name)]) for name in Echoes.__slots__]
        order = np.lexsort((both[3], both[2]))
        return Echoes(*(part[order] for part in both))

    def farthest(self) -> Echoes:
        """Of each ray the last echo alone."""
        order = np.lexsort((np.linalg.norm(self.xyz_m, axis=1), self.beam, self.column))
        column, beam = self.column[order], self.beam[order]
        last = np.append((np.diff(column) != 0) | (np.diff(beam) != 0), True)[: len(order)]
        return Echoes(*(getattr(self, name)[order[last]] for name in Echoes.__slots__))


def second_echoes(
    first: Echoes, grid: RayGrid, divergence_rad: float, step_rad: float, pane_inverse: Floats, panes: Ints,
    rng: np.random.Generator,
) -> Echoes:  # fmt: skip
    """What a sensor that reports two returns adds to `first`.

    A beam of `divergence_rad` that passes within half of that of an edge meets both sides of it; the edge lies anywhere
    between two rays `step_rad` apart. `pane_inverse` and `panes` (W, H) are inverse forward distance and triangle
    with all panes closed.
    """
    shape = pane_inverse.shape
    far = np.full(shape, np.inf, np.float32)
    row = np.full(shape, -1, np.int64)
    distance = np.linalg.norm(first.xyz_m, axis=1)
    far[first.column, first.beam] = distance
    row[first.column, first.beam] = np.arange(len(distance))
    parts = [_at_edges(first, distance, far, row, side, 0.5 * divergence_rad / step_rad, rng) for side in (-1, 1)]
    long = _lengths(grid, first.column, first.beam)
    before = (
        long
        * np.divide(1.0, pane_inverse, out=np.zeros_like(pane_inverse), where=pane_inverse > 0)[
            first.column, first.beam
        ]
    )
    passed = np.flatnonzero((before > 0) & (before < distance - APART_M) & (rng.random(len(before)) < PANE_SHARE))
    ways = first.xyz_m[passed] / distance[passed, None]
    parts.append(Echoes(
        (ways * before[passed, None]).astype(np.float32), np.full(len(passed), PANE_LIGHT, np.float32),
        first.column[passed], first.beam[passed], panes[first.column[passed], first.beam[passed]].astype(np.int64),
    ))  # fmt: skip
    out = parts[0]
    for part in parts[1:]:
        out = out.joined(part)
    return out.farthest()


def _at_edges(
    first: Echoes, distance: Floats, far: Floats, row: Ints, side: int, share: float, rng: np.random.Generator
) -> Echoes:
    """Beams that meet, beside their own surface, that of the neighbouring ray to one side."""
    beside = first.column + side
    inside = (beside >= 0) & (beside < far.shape[0])
    other = np.where(inside, far[np.clip(beside, 0, far.shape[0] - 1), first.beam], np.inf)
    chosen = np.flatnonzero(
        np.isfinite(other) & (np.abs(other - distance) > APART_M) & (rng.random(len(other)) < share)
    )
    source = row[beside[chosen], first.beam[chosen]]
    ways = first.xyz_m[chosen] / distance[chosen, None]
    return Echoes(
        (ways * other[chosen, None]).astype(np.float32), 0.5 * first.light[source], first.column[chosen],
        first.beam[chosen], first.triangle[source],
    )  # fmt: skip


def _lengths(grid: RayGrid, column: Ints, beam: Ints) -> Doubles:
    """(N,) metres along a ray for each metre forward."""
    across, up = grid.ratio[column], grid.stretch[column] * grid.slope[beam]
    return np.asarray(np.sqrt(1 + across**2 + up**2), np.float64)
