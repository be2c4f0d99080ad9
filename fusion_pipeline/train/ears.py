"""Trains the fusion network's ears by themselves, on windows and on the sound of rides: minutes, not hours.

    python -m fusion_pipeline.train.ears WINDOWS RIDES CHECKPOINT --seconds 600

The averaged ears are written into CHECKPOINT, a state of fusion_fit, in the place of its own; from then on they stay.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fusion_pipeline.arrays import Array
from fusion_pipeline.train.fusion import AudioNet
from fusion_pipeline.train.lessons import hills
from fusion_pipeline.train.windows import SHARD

BATCH, RATE = 64, 2e-3
HARD = 2.0  # focal exponent: most azimuths are silent and easily so


def gathered(windows: Path, rides: Path) -> tuple[Array, Array, Array]:
    """srp (N, 16, 16, 72) int8, level (N, 16, 16) int8, goals (N, 8, 72) float16 of all there is."""
    srps, levels, goals = [], [], []
    for path in sorted(windows.glob("?????.npz")):
        with np.load(path) as shard:
            srps.append(shard["srp"])
            levels.append(shard["level"])
            rows = shard["sounds"]
            goals.append(np.stack([hills(rows[rows[:, 0] == k, 1:]) for k in range(SHARD)]).astype(np.float16))
    for path in sorted(rides.glob("???????.npz")):
        with np.load(path) as ride:
            srps.append(ride["srp"][None])
            levels.append(ride["level"][None])
            goals.append(hills(ride["sounds"])[None].astype(np.float16))
    return np.concatenate(srps), np.concatenate(levels), np.concatenate(goals)


def turned(srp: Tensor, goal: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each window turned by chance and mirrored half the time: sound has no preferred direction."""
    out, goals = torch.empty_like(srp), torch.empty_like(goal)
    for k in range(len(srp)):
        shift = int(rng.integers(72))
        out[k], goals[k] = torch.roll(srp[k], shift, -1), torch.roll(goal[k], shift, -1)
        if rng.random() < 0.5:
            out[k], goals[k] = torch.flip(out[k], (-1,)), torch.flip(goals[k], (-1,))
    return out, goals


def loss_of(logits: Tensor, goal: Tensor) -> Tensor:
    """Focal cross-entropy by azimuth and class; -1 is not taught."""
    plain = functional.binary_cross_entropy_with_logits(logits, goal.clamp(min=0), reduction="none")
    gap = (torch.sigmoid(logits) - goal.clamp(min=0)).abs()
    return (plain * gap.detach() ** (HARD - 1) * (goal >= 0)).sum() / len(logits) / 8


def train(net: AudioNet, data: tuple[Array, Array, Array], seconds: float, seed: int = 0) -> AudioNet:
    """One cycle over the clock; the averaged ears."""
    rng = np.random.default_rng(seed)
    srps, levels, goals = data
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    began = time.monotonic()
    net.train()
    while (share := (time.monotonic() - began) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(share / 0.05 + 0.02, 0.01 + 0.5 * (1 + np.cos(np.pi * share)))
        rows = rng.integers(0, len(srps), BATCH)
        srp = torch.from_numpy(srps[rows].astype(np.float32) / 127)
        level = torch.from_numpy(levels[rows].astype(np.float32) + rng.normal(0, 3, (BATCH, 1, 1)).astype(np.float32))
        srp = srp + 0.03 * torch.randn_like(srp)
        srp, goal = turned(srp, torch.from_numpy(goals[rows].astype(np.float32)), rng)
        loss = loss_of(net(srp, level)[1], goal)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        mean.update_parameters(net)
    return mean.module.eval()


def graft(checkpoint: Path, ears: AudioNet) -> None:
    """Put the ears into a state of fusion_fit."""
    state = torch.load(checkpoint)
    for name, value in ears.state_dict().items():
        state["net"][f"audio.{name}"] = value
        state["mean"][f"module.audio.{name}"] = value
    torch.save(state, checkpoint)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("windows", type=Path)
    parser.add_argument("rides", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    torch.manual_seed(0)
    graft(options.checkpoint, train(AudioNet(), gathered(options.windows, options.rides), options.seconds))


if __name__ == "__main__":
    main()
