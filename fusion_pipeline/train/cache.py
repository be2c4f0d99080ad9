"""Rendered streets on disk, so that a scan is rendered once and trained on more than once.

python -m fusion_pipeline.train.cache FOLDER FIRST COUNT STRIDE
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Floats, Ints
from fusion_pipeline.world.lidar import front_hdl64
from fusion_pipeline.world.streets import street

_STEP_M = 0.005  # resolution of the stored points


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
    scene = street(seed)
    scan = front_hdl64().scan(scene, seed)
    on = scan.instances[scan.instances >= 0]
    counts = np.bincount(on, minlength=len(scene.things)).astype(np.int64)
    return Sample(scan.xyz_m, scan.intensity, scene.boxes.astype(np.float32), scene.labels, counts)


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
