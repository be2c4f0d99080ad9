"""The loop that every training of a network runs: one cycle of the learning rate over the clock, averaged weights,
a curve, and a checkpoint each minute from which a run of the same folder goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

AVERAGE_STEPS = 60  # of the weights that are kept
SAID_EVERY, SAVED_EVERY_S = 20, 60.0
B = TypeVar("B")  # what a batch is
Said = Callable[[float, str], None]  # the share of the time, and the losses


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, how fast."""

    seconds: float
    batch: int = 4
    rate: float = 2.5e-3
    crop: tuple[int, int] = (128, 128)  # rows and columns; the network is blind to where it looks
    seed: int = 0

    def rate_at(self, share: float) -> float:
        """Learning rate after a share (0 to 1) of the time."""
        if share < 0.1:
            return self.rate * (0.1 + 9 * share)
        return float(self.rate * (0.005 + 0.995 * 0.5 * (1 + np.cos(np.pi * min((share - 0.1) / 0.9, 1.0)))))


def unheard(share: float, text: str) -> None:
    """For trainings that nobody listens to."""


def run_loop(
    net: nn.Module, groups: list[dict[str, Any]], run: Path, schedule: Schedule, batches: Callable[[int], Iterable[B]],
    losses_of: Callable[[B, int], dict[str, Tensor]], columns: tuple[str, ...], *, half: bool = False,
    beside: dict[str, Any] | None = None, said: Said = unheard,
) -> None:  # fmt: skip
    """Train `net` on batches(steps done) until the time is up; leaves RUN/last.pt and RUN/curve.csv.

    `groups` are the optimizer's, each with the `factor` its rate is multiplied by; losses_of(batch, step) are added up,
    and those of `columns` written into the curve, 0 where they are not told; `beside` goes into the checkpoint.
    """
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1 - 1 / AVERAGE_STEPS), use_buffers=True
    )
    optimizer = torch.optim.AdamW(groups, lr=schedule.rate, weight_decay=0.01)
    run.mkdir(parents=True, exist_ok=True)
    last, spent, steps = run / "last.pt", 0.0, 0
    if last.exists():
        state = torch.load(last)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        spent, steps = state["spent"], state["steps"]
    began = saved = time.monotonic()
    log: list[list[float]] = []
    for batch in batches(steps):
        share = (spent + time.monotonic() - began) / (spent + schedule.seconds)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(share) * group["factor"]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = losses_of(batch, steps)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        mean.update_parameters(net)
        steps += 1
        log.append([float(losses[name].detach()) if name in losses else 0.0 for name in columns])
        done = share >= 1.0
        if steps % SAID_EVERY == 0:
            now = np.asarray(log).mean(axis=0)
            log.clear()
            told = [f"{name} {value:.2f}" for name, value in zip(columns, now, strict=True) if name in losses]
            said(share, " ".join(told))
            with (run / "curve.csv").open("a") as file:
                file.write(f"{steps},{steps * schedule.batch},{share:.3f}," + ",".join(f"{v:.4f}" for v in now) + "\n")
        if done or time.monotonic() - saved > SAVED_EVERY_S:
            saved = time.monotonic()
            state = {"net": net.state_dict(), "mean": mean.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"spent": spent + saved - began, "steps": steps, "samples": steps * schedule.batch}
            torch.save(state | (beside or {}), run / "half.pt")
            (run / "half.pt").rename(last)
        if done:
            return
