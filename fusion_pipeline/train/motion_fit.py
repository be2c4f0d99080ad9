"""Trains the part that says how fast things go by itself, on cached rides: minutes.

    python -m fusion_pipeline.train.motion_fit RIDES CHECKPOINT --seconds 300

It is written into CHECKPOINT, a state of fusion_fit, in the place of its own.
"""

from __future__ import annotations

import argparse
import queue
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train.cache import Sample
from fusion_pipeline.train.data import COLS, ROWS, augment, target
from fusion_pipeline.train.motion import CHANNELS, REACH, SIDE, Motion, bodies, motion_loss
from fusion_pipeline.train.rides import load

BATCH, RATE = 192, 2e-3
COPIES = 3  # of each thing, its middle a little off as a found one's is
MOVING = 4  # times as often as what stands


def windows_of(path: Path, raster: BevRaster, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(K, 12, 17, 17) and velocities (K, 2) of a ride's things, changed as in every lesson."""
    ride = load(path)
    counts = [len(ride.before_m[0]), len(ride.before_m[1])]
    sample = Sample(ride.xyz_m, ride.intensity, ride.boxes, ride.labels, ride.points)
    changed, other = augment(sample, rng, np.concatenate(ride.before_m))
    made = target(changed, raster, (other[: counts[0]], other[counts[0] :]))
    padded = torch.nn.functional.pad(bodies(torch.from_numpy(made.raster)[None]), (REACH,) * 4)[0]
    pieces, speeds = [], []
    for cell, box in zip(made.cells, made.boxes, strict=True):
        fast = bool(np.hypot(box[7], box[8]) > 1.0)
        for _ in range(COPIES * (MOVING if fast else 1)):
            r, c = np.clip(cell + np.rint(rng.normal(0, 0.8, 2)).astype(int), 0, [ROWS - 1, COLS - 1])
            pieces.append(padded[:, r : r + SIDE, c : c + SIDE])
            speeds.append(box[7:9])
    if not pieces:
        return torch.zeros(0, CHANNELS, SIDE, SIDE), torch.zeros(0, 2)
    return torch.stack(pieces), torch.from_numpy(np.asarray(speeds, np.float32))


def turned(windows: Tensor, speeds: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A quarter turn and a mirror image are streets as good as any; fine cells within a cell turn along."""
    k = len(windows)
    fine = windows.reshape(k, 3, 2, 2, SIDE, SIDE).permute(0, 1, 4, 2, 5, 3).reshape(k, 3, 2 * SIDE, 2 * SIDE)
    v = speeds.clone()
    if rng.random() < 0.5:
        fine, v = fine.flip(2), v * torch.tensor([-1.0, 1.0])
    if rng.random() < 0.5:
        fine, v = fine.flip(3), v * torch.tensor([1.0, -1.0])
    if rng.random() < 0.5:
        fine, v = fine.transpose(2, 3), v.flip(1)
    folded = fine.reshape(k, 3, SIDE, 2, SIDE, 2).permute(0, 1, 3, 5, 2, 4)
    return folded.reshape(k, CHANNELS, SIDE, SIDE).contiguous(), v


def train(rides: Path, seconds: float, seed: int = 0, loaders: int = 2) -> Motion:
    """One cycle over the clock; the averaged network."""
    paths = sorted(rides.glob("???????.npz"))
    pool: list[tuple[Tensor, Tensor]] = []
    ready: queue.Queue[tuple[Tensor, Tensor]] = queue.Queue(64)

    def work(number: int) -> None:
        rng, raster = np.random.default_rng([seed, number]), BevRaster()
        while True:
            ready.put(windows_of(paths[int(rng.integers(len(paths)))], raster, rng))

    for number in range(loaders):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    net, rng = Motion(), np.random.default_rng(seed)
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01)
    began = time.monotonic()
    while (share := (time.monotonic() - began) / seconds) < 1:
        while not ready.empty() or len(pool) < 20:  # old windows are used again until new ones are there
            pool.append(ready.get())
        del pool[: max(0, len(pool) - 4000)]
        chosen = [pool[int(k)] for k in rng.integers(0, len(pool), 16)]
        windows, speeds = (torch.cat([piece[k] for piece in chosen]) for k in (0, 1))
        if len(windows) < 2:
            continue
        rows = torch.from_numpy(rng.permutation(len(windows))[:BATCH])
        windows, speeds = turned(windows[rows], speeds[rows], rng)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(share / 0.05 + 0.02, 0.01 + 0.5 * (1 + np.cos(np.pi * share)))
        loss = motion_loss(net.read(windows), speeds)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        mean.update_parameters(net)
    return mean.module.eval()


def graft(checkpoint: Path, motion: Motion) -> None:
    """Put it into a state of fusion_fit."""
    state = torch.load(checkpoint)
    for name, value in motion.state_dict().items():
        if "net" in state:
            state["net"][f"motion.{name}"] = value
        state["mean"][f"module.motion.{name}"] = value
    torch.save(state, checkpoint)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rides", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    torch.manual_seed(0)
    graft(options.checkpoint, train(options.rides, options.seconds))


if __name__ == "__main__":
    main()
