"""Half seconds of sound from every scenario, on disk in shards: what the ears learn from beside the rides.

python -m fusion_pipeline.train.windows FOLDER FIRST COUNT STRIDE

Each shard is one drive of a scenario with arrays, wind and gains that change from window to window.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.train.rides import drawn_array, heard_at, sounds_at
from fusion_pipeline.world.scenarios import scenario

SHARD = 60
FAMILIES = ("crossing_occluded_siren", "city_street", "crossing_occluded_siren", "highway", "construction_site",
            "crossing_occluded_siren", "car_park", "robot_yard")  # fmt: skip
FIRST_SEED = 1000  # drives that figures are made of have lower seeds


def render(number: int) -> dict[str, Array]:
    """One shard: srp (60, 16, 16, 72) and level (60, 16, 16) as int8, sounds (S, 4): window, class, azimuth, level."""
    rng = np.random.default_rng([number, 5])
    family = scenario(FAMILIES[number % len(FAMILIES)])
    drive = family.build(FIRST_SEED + number, True)
    srps, levels, rows = [], [], []
    for window in range(SHARD):
        seconds = float(rng.uniform(0.6, family.seconds))
        array = drawn_array(rng)
        srp, level = heard_at(drive, array, seconds, rng)
        srps.append(np.round(srp * 127).astype(np.int8))
        levels.append(np.round(np.maximum(level, -127)).astype(np.int8))
        sounds, _ = sounds_at(drive, array, seconds)
        rows.append(np.column_stack([np.full(len(sounds), window), sounds]))
    return {"srp": np.stack(srps), "level": np.stack(levels), "sounds": np.concatenate(rows)}


def fill(folder: Path, first: int, count: int, stride: int) -> None:
    """Render shards first, first + stride, ... into `folder`; those there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count * stride, stride):
        path = folder / f"{number:05d}.npz"
        if not path.exists():
            half = path.with_suffix(".part.npz")
            shard = render(number)
            np.savez(half, srp=shard["srp"], level=shard["level"], sounds=shard["sounds"])
            half.rename(path)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:5]))
