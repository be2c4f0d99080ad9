"""Trains the fusion network's ears by themselves, on windows and on the sound of rides: minutes, not hours.

    python -m fusion_pipeline.train.ears WINDOWS RIDES TARGET --steps 1500 --from WEIGHTS

TARGET takes the averaged ears in the place of its own: a state of fusion_fit (.pt) or stored weights (.npz), from then
on they stay. A TARGET that is not there yet becomes a file of the ears alone. The same data and steps give the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fusion_pipeline.arrays import Array
from fusion_pipeline.train.senses import AudioNet
from fusion_pipeline.train.stored import restored
from fusion_pipeline.train.windows import taught

BATCH, RATE = 32, 2e-3
Pool = tuple[Array, Array, Array]
HARD = 2.0  # focal exponent: most azimuths are silent and easily so


def gathered(windows: Path, rides: Path) -> list[Pool]:
    """Of windows and of rides, where there are any: srp (N, 16, 16, 72) int8, level (N, 16, 16) int8, goals (N, 8, 72)
    float16.
    """
    rendered, heard = [], []
    for path in sorted(windows.glob("?????.npz")):
        with np.load(path) as shard:
            rendered.append((shard["srp"], shard["level"], shard["goals"]))
    for path in sorted(rides.glob("???????.npz")):
        with np.load(path) as ride:
            goal = taught(ride["sounds"]).astype(np.float16)
            heard.append((ride["srp"][None], ride["level"][None], goal[None]))
    return [_stacked(rows) for rows in (rendered, heard) if rows]


def _stacked(rows: list[Pool]) -> Pool:
    srps, levels, goals = zip(*rows, strict=True)
    return np.concatenate(srps), np.concatenate(levels), np.concatenate(goals)


def drawn(pools: list[Pool], rng: np.random.Generator) -> Pool:
    """A batch, of each pool alike; as float32, the response 0 to 1."""
    chosen = [(pool, rng.integers(0, len(pool[0]), BATCH // len(pools))) for pool in pools]
    srp, level, goal = _stacked([(pool[0][rows], pool[1][rows], pool[2][rows]) for pool, rows in chosen])
    return srp.astype(np.float32) / 127, level.astype(np.float32), goal.astype(np.float32)


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


def train(net: AudioNet, pools: list[Pool], steps: int, seed: int = 0) -> AudioNet:
    """One cycle of so many steps; the averaged ears."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    net.train()
    for step in range(steps):
        share = step / steps
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(share / 0.05 + 0.02, 0.01 + 0.5 * (1 + np.cos(np.pi * share)))
        srps, levels, goals = drawn(pools, rng)
        srp = torch.from_numpy(srps)
        level = torch.from_numpy(levels + rng.normal(0, 3, (len(levels), 1, 1)).astype(np.float32))
        srp = srp + 0.03 * torch.randn_like(srp)
        srp, goal = turned(srp, torch.from_numpy(goals), rng)
        loss = loss_of(net(srp, level)[1], goal)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        mean.update_parameters(net)
    return mean.module.eval()


def graft(target: Path, ears: AudioNet) -> None:
    """Put the ears into a state of fusion_fit or into stored weights, or into a file of their own."""
    own = ears.state_dict()
    if not target.exists():
        torch.save(own, target)
    elif target.suffix == ".npz":
        with np.load(target) as file:
            arrays: dict[str, Any] = dict(file)
        arrays |= {f"audio.{name}": value.numpy().astype(np.float16) for name, value in own.items()}
        np.savez_compressed(target, **arrays)
    else:
        state = torch.load(target)
        for name, value in own.items():
            state["net"][f"audio.{name}"] = value
            state["mean"][f"module.audio.{name}"] = value
        torch.save(state, target)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("windows", type=Path)
    parser.add_argument("rides", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--from", dest="begin", type=Path, help="weights (.npz, .pt) whose ears go on learning")
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums do not depend on how many processors there are
    torch.manual_seed(0)
    net = restored(options.begin)[0].audio if options.begin else AudioNet()
    graft(options.target, train(net, gathered(options.windows, options.rides), options.steps))


if __name__ == "__main__":
    main()
