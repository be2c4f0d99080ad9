"""Trains the LiDAR network for a given time on cached streets.

    python -m fusion_pipeline.train.fit CACHE RUN --seconds 3600

One-cycle learning rate over the clock, not over steps: whoever else uses the machine makes the run shorter in steps,
never later. Every minute the averaged weights are written to RUN/last.pt, from which a run of the same RUN goes on.
"""

from __future__ import annotations

import argparse
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fusion_pipeline.arrays import Array
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train.cache import load
from fusion_pipeline.train.data import COLS, ROWS, Target, augment, target
from fusion_pipeline.train.loop import Schedule, run_loop
from fusion_pipeline.train.losses import box_loss, heat_loss
from fusion_pipeline.train.model import LidarNet
from fusion_pipeline.train.warm import warm_start

TERMS = ("heat", "box")


def cropped(item: Target, size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Raster, heat and weight cut to a window near the vehicle, and the window's (row, column)."""
    r = int(rng.choice(np.asarray([0, rng.integers(0, ROWS - size[0] + 1)])) // 2 * 2)
    spread = (COLS - size[1]) / 2
    c = int(np.clip(rng.normal(spread, spread / 2), 0, COLS - size[1]) // 2 * 2)
    a, b = slice(r, r + size[0]), slice(c, c + size[1])
    return item.raster[:, a, b], item.heat[:, a, b], item.weight[a, b], np.asarray([r, c])


def batches(cache: Path, schedule: Schedule, skip: int = 0) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches, prepared by a thread; `skip` changes their order after a restart."""
    if not any(cache.glob("???????.npz")):
        raise FileNotFoundError(
            f"{cache} holds no scans; fill it with python -m fusion_pipeline.train.cache {cache} 0 1000 1"
        )
    ready: queue.Queue[dict[str, torch.Tensor]] = queue.Queue(maxsize=6)

    def work() -> None:
        rng, raster = np.random.default_rng([schedule.seed, skip]), BevRaster()
        while True:
            there = np.asarray(sorted(cache.glob("???????.npz")), object)
            for paths in np.array_split(rng.permutation(there), max(1, len(there) // schedule.batch)):
                items = [target(augment(load(p), rng)[0], raster) for p in paths]
                cuts = [cropped(item, schedule.crop, rng) for item in items]
                rows = []
                for k, (item, cut) in enumerate(zip(items, cuts, strict=True)):
                    cells = item.cells - cut[3]
                    inside = ((cells >= 0) & (cells < schedule.crop)).all(axis=1)
                    block = np.column_stack([np.full(len(cells), k), cells, item.cells, item.labels, item.boxes])
                    rows.append(block[inside])
                ready.put(
                    {
                        "raster": torch.from_numpy(np.stack([c[0] for c in cuts])),
                        "heat": torch.from_numpy(np.stack([c[1] for c in cuts])),
                        "weight": torch.from_numpy(np.stack([c[2] for c in cuts])),
                        "truth": torch.from_numpy(np.concatenate(rows).astype(np.float32)),
                    }
                )

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield ready.get()


def step(net: LidarNet, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Heat and box losses of a batch."""
    logits, trunk, coarse = net.features(batch["raster"].contiguous(memory_format=torch.channels_last))
    heat = heat_loss(logits, batch["heat"], batch["weight"])
    truth = batch["truth"]
    if not len(truth):
        return heat, heat.detach() * 0
    index = truth[:, :6].long()
    raw = net.regress(trunk, coarse, index[:, 0], index[:, 1], index[:, 2])
    return heat, box_loss(raw, index[:, 3], index[:, 4], truth[:, 6:], net.sizes[index[:, 5]])


def fit(cache: Path, run: Path, schedule: Schedule, exported: Path | None = None) -> None:
    """Train, from the weights of `exported` if given, and leave RUN/last.pt and RUN/curve.csv."""
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(2)
    net = LidarNet()
    if exported is not None:
        wide = replace(schedule, batch=16)
        warm_start(net, exported, next(batches(cache, wide))["raster"])
    net = net.to(memory_format=torch.channels_last).train()
    groups = [{"params": list(net.parameters()), "lr": schedule.rate, "factor": 1.0}]
    run_loop(net, groups, run, schedule, lambda steps: batches(cache, schedule, steps),
             lambda batch, _: dict(zip(TERMS, step(net, batch), strict=True)), TERMS)  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2.5e-3, help="the highest learning rate")
    parser.add_argument("--from", dest="exported", type=Path, help="an exported network to begin with")
    options = parser.parse_args()
    fit(options.cache, options.run, Schedule(options.seconds, options.batch, options.rate), options.exported)


if __name__ == "__main__":
    main()
