"""How like real scans the simulated LiDAR's are: KITTI's drive 0052 beside a simulated road of the same kind.

The recording stands and crawls in a queue on a road of three lanes: cars to the left, a tanker to the right, grass,
a bank and trees beyond, a bridge ahead. Where it stands is not copied, so distances of range histograms and counts
by ring hold the difference of two places as well. Nothing here is fitted but what world/statistics.py says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.bench.scan_statistics import COSINE_EDGES, RANGE_EDGES_M, RINGS, Samples, Scan, measured
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.beams import beam_table
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, hexahedron
from fusion_pipeline.world.scenarios.pavement import WORN, Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage
from fusion_pipeline.world.sweep import Roof, SimulatedSweep

DRIVE = Path("kitti_raw/2011_09_26/2011_09_26_drive_0052_sync/velodyne_points/data")
HEIGHT_M, LANE_M, HERE_M = 1.73, 3.4, 400.0
# KITTI's scanner: tilted up by half a degree, 2140 shots a turn, on a car whose roof hides part of the lowest beams.
_TILT_RAD = float(np.deg2rad(0.5))
_TABLE = beam_table("HDL-64E")
KITTI_BEAMS = replace(
    _TABLE, elevations_rad=tuple(e + _TILT_RAD for e in _TABLE.elevations_rad), azimuth_step_rad=2 * np.pi / 2140
)
KITTI_ROOF = Roof(below_m=0.55, ahead_m=1.3, behind_m=1.7, half_width_m=0.85)
MOUNT = LidarMount(Pose(np.eye(3), np.asarray([0.0, 0.0, HEIGHT_M])))
LIGHT_EDGES: Doubles = np.arange(-0.005, 1.05, 0.05)  # KITTI rounds to hundredths


def real_scans() -> list[Scan]:
    """Every fifth scan of the drive under $FUSION_DATA; none where it is not there."""
    if "FUSION_DATA" not in os.environ:
        return []
    files = sorted((Path(os.environ["FUSION_DATA"]) / DRIVE).glob("*.bin"))[::5]
    tables = [np.fromfile(path, np.float32).reshape(-1, 4) for path in files]
    return [Scan.in_order(table[:, :3], table[:, 3]) for table in tables]


def queue(seed: int) -> Drive:
    """A road of three lanes full of vehicles that stand."""
    stage = Stage(seed, 1.0, False)
    rng = stage.rng
    for lane, first in ((1, -60.0), (0, -60.0), (-1, -60.0)):
        along = first + float(rng.uniform(0, 8))
        while along < 70:
            kind = "trailer" if lane < 0 and rng.random() < 0.15 else str(rng.choice(["car", "van"], p=[0.85, 0.15]))
            long = {"trailer": 16.5, "van": 5.2}.get(kind, 4.5)
            gap = float(rng.uniform(1.5, 5.0))
            if lane == 0 and -long - 4.0 < along < 6.5:  # here we stand ourselves
                along = 6.5 + gap
                continue
            stage.put(kind, stage.still(HERE_M + along + long / 2, lane * LANE_M))
            along += long + gap
    for side, start, deep, high in ((1, 22.0, 7.0, 6.0), (-1, 9.0, 7.0, 3.5)):
        stage.scenery(_bank(side, start, deep, high))
        for x in np.arange(-60, 70, 4.0):
            if rng.random() < 0.7:
                stage.tree(HERE_M + float(x), side * (start + deep + float(rng.uniform(0, 6))))
            stage.bush(HERE_M + float(x), side * (start + float(rng.uniform(0.5, deep))))
    stage.scenery(block((9.0, 160.0, 1.2), (HERE_M + 45, 0, 5.5), Material.WALL))
    for y in (-24.0, -7.0, 7.0, 24.0):
        stage.scenery(block((1.0, 1.0, 5.5), (HERE_M + 45, y, 0), Material.WALL))
    for x in (-45.0, -15.0, 15.0):
        stage.pole(HERE_M + x, 1.5 * LANE_M + 1.0, 8.0)
    ground = Pavement(LENGTH_M)
    ground.area((0, LENGTH_M), (-1.5 * LANE_M, 1.5 * LANE_M), WORN)
    return stage.drive(stage.still(HERE_M, 0.0), ground)


def _bank(side: int, start: float, deep: float, high: float) -> Mesh:
    x0, x1, y0, y1 = HERE_M - 80, HERE_M + 80, side * start, side * (start + deep)
    low = [(x0, y0, -0.05), (x1, y0, -0.05), (x1, y1 + side * 20, -0.05), (x0, y1 + side * 20, -0.05)]
    top = [(x0, y0 + side * 0.01, 0.0), (x1, y0 + side * 0.01, 0.0), (x1, y1, high), (x0, y1, high)]
    return hexahedron(low + top, (Material.GRASS,) * 6)


def simulated_scans(count: int = 10) -> list[Scan]:
    """As many scans of queues of as many seeds."""
    scans = []
    for seed in range(count):
        sweeper = SimulatedSweep(queue(seed), MOUNT, KITTI_BEAMS, np.pi, rolling=True, roof=KITTI_ROOF)
        sweep = sweeper.sweep(0.5, seed)
        scans.append(Scan.sorted(sweep.xyz_m, sweep.intensity, sweep.ring))
    return scans


def figures() -> Iterator[Figure]:
    """Side by side with a distance each; nothing without the recording."""
    real = real_scans()
    if not real:
        return
    ours, theirs = simulated_scans(), real
    mine, kitti = measured(ours), measured(theirs)
    count, counted = (float(np.mean([len(scan.xyz_m) for scan in scans])) for scans in (ours, theirs))
    yield Figure("points per scan", count, "points", "within 10 %", abs(count - counted) <= 0.1 * counted, counted,
                 "KITTI drive 0052")  # fmt: skip
    yield from _by_ring(mine, kitti, len(ours), len(theirs))
    for what, a, b, edges in (
        ("range", mine.distance_m, kitti.distance_m, np.linspace(0, 80, 17)),
        ("intensity", mine.intensity, kitti.intensity, LIGHT_EDGES),
    ):
        left, right = (np.histogram(values, edges)[0] / len(values) for values in (a, b))
        apart, note = float(np.abs(left - right).sum() / 2), _beside(edges, 100 * left, 100 * right)
        yield Figure(f"total variation between histograms of {what}, ours and KITTI's", apart, "", note=note)
    for what, a, b, steps in (
        ("range", mine.distance_m, kitti.distance_m, RANGE_EDGES_M), ("cosine", mine.cosine, kitti.cosine, COSINE_EDGES)
    ):  # fmt: skip
        for name, unit, left, right in (
            ("share of lost beams", "points of %", mine.losses(a, steps), kitti.losses(b, steps)),
            ("mean intensity", "% of full scale", mine.brightness(a, steps), kitti.brightness(b, steps)),
        ):
            apart, note = 100 * float(np.nanmean(np.abs(left - right))), _beside(steps, 100 * left, 100 * right)
            yield Figure(f"{name} by {what}, mean distance between ours and KITTI's", apart, unit, note=note)


def _by_ring(mine: Samples, kitti: Samples, ours: int, theirs: int) -> Iterator[Figure]:
    edges: Doubles = np.arange(RINGS + 1, dtype=np.float64)
    a, b = np.bincount(mine.ring, minlength=RINGS) / ours, np.bincount(kitti.ring, minlength=RINGS) / theirs
    alike = float(np.corrcoef(a, b)[0, 1])
    note = "every eighth, ours/KITTI's: " + ", ".join(f"{x:.0f}/{y:.0f}" for x, y in zip(a[::8], b[::8], strict=True))
    yield Figure("correlation of points per ring with KITTI's", alike, "", ">= 0.9", alike >= 0.9, note=note)
    a, b = mine.by_elevation() / ours, kitti.by_elevation() / theirs
    alike = float(np.corrcoef(a, b)[0, 1])
    yield Figure("correlation of points per degree of elevation with KITTI's", alike, "", ">= 0.9", alike >= 0.9)
    for what, a, b in (
        ("lost beams", mine.losses(mine.ring, edges), kitti.losses(kitti.ring, edges)),
        ("mean intensity", mine.brightness(mine.ring, edges), kitti.brightness(kitti.ring, edges)),
    ):
        yield Figure(f"correlation of {what} by ring with KITTI's", float(np.corrcoef(a, b)[0, 1]), "",
                     note=f"means {100 * np.mean(a):.2f} and {100 * np.mean(b):.2f} %")  # fmt: skip


def _beside(edges: Array | tuple[float, ...], ours: Doubles, theirs: Doubles) -> str:
    pairs = ", ".join(f"{low:.3g} {x:.1f}/{y:.1f}" for low, x, y in zip(edges[:-1], ours, theirs, strict=True))
    return f"ours/KITTI's in % from: {pairs}"
