"""How often a spinning LiDAR loses a beam and how bright it reports: by range, angle of incidence and ring.

The same counting for real and simulated scans. Losses are counted between two neighbours on one surface: a beam that
met nothing, and one that was lost on a surface that swallows all, look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.world.statistics import COSINE_EDGES, RANGE_EDGES_M

__all__ = ["COSINE_EDGES", "RANGE_EDGES_M", "RINGS", "Samples", "Scan", "measured"]

RINGS = 64
COLUMNS = 2000  # of a turn: 0.18 degrees
LONGEST_GAP = 3  # beams in a row that count as lost


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """N points of one turn, ring by ring and by azimuth within each."""

    xyz_m: Floats  # (N, 3) in the sensor's frame
    intensity: Floats  # (N,)
    ring: Ints  # (N,) 0 at the top

    @classmethod
    def in_order(cls, xyz_m: Floats, intensity: Floats) -> Scan:
        """Of points that a file has in that order without saying so, as KITTI's: azimuth falls back between rings."""
        turn = np.arctan2(xyz_m[:, 1], xyz_m[:, 0]) % (2 * np.pi)
        ring = np.cumsum(np.append(False, np.diff(turn) < -np.pi))
        return cls(xyz_m, intensity, ring.astype(np.int64))

    @classmethod
    def sorted(cls, xyz_m: Floats, intensity: Floats, ring: Ints) -> Scan:
        """Of points in any order."""
        turn = np.arctan2(xyz_m[:, 1], xyz_m[:, 0]) % (2 * np.pi)
        order = np.lexsort((turn, ring))
        return cls(xyz_m[order], intensity[order], ring[order])


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """N points of many scans with what they are counted by."""

    distance_m: Doubles
    cosine: Doubles  # of the angle of incidence; NaN where no surface was found around
    ring: Ints
    intensity: Doubles
    lost: Ints  # beams lost between this point and its neighbour on the same surface; -1: none such
    elevation_deg: Doubles

    def by_elevation(self) -> Doubles:
        """Points in each degree of elevation from -25 to 4."""
        return np.histogram(self.elevation_deg, np.arange(-25, 4.01, 1.0))[0].astype(np.float64)

    def losses(self, by: Array, edges: Sequence[float] | Doubles) -> Doubles:
        """Share of beams lost in each bin of a quantity (N,); NaN where nothing is counted."""
        counted = self.lost >= 0
        lost = np.histogram(by[counted], edges, weights=self.lost[counted])[0]
        kept = np.histogram(by[counted], edges)[0]
        with np.errstate(invalid="ignore"):
            return np.asarray(lost / (lost + kept), np.float64)

    def brightness(self, by: Array, edges: Sequence[float] | Doubles) -> Doubles:
        """Mean intensity in each bin of a quantity (N,)."""
        there = np.isfinite(by)
        total = np.histogram(by[there], edges, weights=self.intensity[there])[0]
        with np.errstate(invalid="ignore"):
            return np.asarray(total / np.histogram(by[there], edges)[0], np.float64)


def measured(scans: Sequence[Scan]) -> Samples:
    """All points of scans with their neighbours looked at."""
    parts = [_samples(scan) for scan in scans]
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in Samples.__slots__))


def _samples(scan: Scan) -> Samples:
    xyz = scan.xyz_m.astype(np.float64)
    distance = np.linalg.norm(xyz, axis=1)
    turn = np.arctan2(xyz[:, 1], xyz[:, 0]) % (2 * np.pi)
    gap = np.rint(np.diff(turn) / (2 * np.pi / COLUMNS)).astype(np.int64) - 1
    close = np.abs(np.diff(distance)) < 0.02 * distance[:-1] + 0.1
    same = close & (np.diff(scan.ring) == 0) & (gap <= LONGEST_GAP)
    lost = np.append(np.where(same, np.maximum(gap, 0), -1), -1)
    elevation = np.degrees(np.arcsin(xyz[:, 2] / distance))
    cosine = _cosines(xyz, distance, turn, scan.ring)
    return Samples(distance, cosine, scan.ring, scan.intensity.astype(np.float64), lost, elevation)


def _cosines(xyz: Doubles, distance: Doubles, turn: Doubles, ring: Ints) -> Doubles:
    """(N,) cosine of incidence from the neighbours along the ring and on the rings above and below."""
    column = np.minimum((turn / (2 * np.pi) * COLUMNS).astype(np.int64), COLUMNS - 1)
    row = np.full((RINGS + 2, COLUMNS + 4), -1, np.int64)
    row[ring + 1, column + 2] = np.arange(len(xyz))

    def neighbour(up: int, along: int) -> Doubles:
        found = row[ring + 1 + up, column + 2 + along]
        near = (found >= 0) & (np.abs(distance[found] - distance) < 0.1 * distance + 0.2)
        return np.where(near[:, None], xyz[found], np.nan)

    sideways = neighbour(0, 2) - neighbour(0, -2)
    upright = np.where(np.isfinite(neighbour(-1, 0)), neighbour(-1, 0) - xyz, xyz - neighbour(1, 0))
    normal = np.cross(sideways, upright)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs((normal * xyz).sum(axis=1)) / (np.linalg.norm(normal, axis=1) * distance), np.float64)
