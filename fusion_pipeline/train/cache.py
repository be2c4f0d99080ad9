"""Rendered streets on disk, so that a scan is rendered once and trained on more than once.

python -m fusion_pipeline.train.cache FOLDER FIRST COUNT STRIDE

Seeds below RING_SEEDS are streets, each seen once; those above are rides along ring streets, each seen RIDE_SCANS
times. The ring street of `fusion demo` is none of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Floats, Ints
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.lidar import front_hdl64
from fusion_pipeline.world.ring_street import PERIOD_S, ring_street
from fusion_pipeline.world.streets import street
from fusion_pipeline.world.sweep import SimulatedSweep
from fusion_pipeline.world.truth import boxes_at

_STEP_M = 0.005  # resolution of the stored points
RING_SEEDS, RIDE_SCANS = 1_000_000, 40
HEIGHT_M = 1.73  # of the LiDAR


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One scan with its truth, in the vehicle frame."""

    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,)
    boxes: Floats  # (M, 9) x y z l w h yaw vx vy
    labels: Ints  # (M,)
    points: Ints  # (M,) scan points on each thing


def render(seed: int) -> Sample:
    """The street of `seed` seen by an HDL-64E."""
    if seed >= RING_SEEDS:
        return _ride(seed)
    scene = street(seed)
    scan = front_hdl64().scan(scene, seed)
    on = scan.instances[scan.instances >= 0]
    counts = np.bincount(on, minlength=len(scene.things)).astype(np.int64)
    return Sample(scan.xyz_m, scan.intensity, scene.boxes.astype(np.float32), scene.labels, counts)


@lru_cache(maxsize=1)
def _riding(street_seed: int) -> SimulatedSweep:
    mount = LidarMount(Pose(np.eye(3), np.asarray([0.0, 0.0, HEIGHT_M])))
    return SimulatedSweep(ring_street(street_seed, audible=False), mount)


def _ride(seed: int) -> Sample:
    sweeper = _riding(seed // RIDE_SCANS)
    seconds = float(np.random.default_rng(seed).uniform(0, PERIOD_S))
    sweep, truth = sweeper.sweep(seconds, seed), boxes_at(sweeper.view.drive, seconds)
    hits = np.bincount(sweep.actors[sweep.actors >= 0], minlength=len(sweeper.view.drive.actors))
    table = [truth.centers_m, truth.sizes_m, truth.yaws_rad[:, None], truth.velocities_mps]
    xyz = sweep.xyz_m + np.asarray([0, 0, HEIGHT_M], np.float32)
    return Sample(
        xyz, sweep.intensity, np.concatenate(table, axis=1), truth.labels, hits[truth.track_ids].astype(np.int64)
    )


def save(sample: Sample, path: Path) -> None:
    """Write a sample; readers never see half a file."""
    near = (sample.xyz_m[:, 0] < 75) & (np.abs(sample.xyz_m[:, 1]) < 45) & (sample.xyz_m[:, 0] > -2)
    half = path.with_suffix(".part.npz")
    np.savez(
        half,
        xyz=np.round(sample.xyz_m[near] / _STEP_M).astype(np.int16),
        intensity=np.round(sample.intensity[near] * 255).astype(np.uint8),
        boxes=sample.boxes,
        labels=sample.labels,
        points=sample.points,
    )
    half.rename(path)


def load(path: Path) -> Sample:
    """Read a sample back."""
    with np.load(path) as file:
        return Sample(
            file["xyz"].astype(np.float32) * np.float32(_STEP_M),
            file["intensity"].astype(np.float32) / np.float32(255),
            file["boxes"],
            file["labels"],
            file["points"],
        )


def fill(folder: Path, first: int, count: int, stride: int) -> None:
    """Render seeds first, first + stride, ... into `folder`; those there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count * stride, stride):
        path = folder / f"{seed:07d}.npz"
        if not path.exists():
            save(render(seed), path)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:5]))
