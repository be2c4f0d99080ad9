"""Trains the camera's part by itself on cached rides: how deep and what each part of the picture is.

    python -m fusion_pipeline.train.camera_fit RIDES CHECKPOINT OUT.npz --seconds 1200

Without raster, grid and head a picture costs a third, and depth is what a camera by itself is worst at: the network
that is then trained further with fusion_fit, from OUT.npz, need not find it out by way of boxes.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fusion_pipeline.encode.lookup import camera_table
from fusion_pipeline.train.fit import Schedule
from fusion_pipeline.train.fusion_fit import NOTHING, RARE
from fusion_pipeline.train.losses import class_loss, depth_loss
from fusion_pipeline.train.rides import load
from fusion_pipeline.train.senses import CameraNet
from fusion_pipeline.train.stored import restored, store
from fusion_pipeline.train.views import changed_view, drawn_lens

AVERAGE_STEPS = 100
Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # images, rays, classes, depths


def seen(path: Path, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One ride's picture, rays, classes and depths."""
    ride = load(path)
    view = changed_view(ride, drawn_lens(rng), rng)
    rays = camera_table(view.model, view.pose, view.fit, None, np.zeros((1, 2))).rays
    return view.image, rays, view.classes, view.depths


def batches(rides: Path, size: int, seed: int, loaders: int) -> Callable[[], Batch]:
    """What gives the next batch; rides that appear meanwhile are taken up. Raises FileNotFoundError without rides."""
    if not any(rides.glob("???????.npz")):
        raise FileNotFoundError(f"{rides} holds no rides; python -m fusion_pipeline.train.rides renders some")
    ready: queue.Queue[Batch] = queue.Queue(8)

    def work(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        while True:
            there = sorted(rides.glob("???????.npz"))
            for _ in range(200):
                items = [seen(there[int(rng.integers(len(there)))], rng) for _ in range(size)]
                ready.put(tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True)))  # type: ignore[arg-type]

    for number in range(loaders):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    return ready.get


def loss_of(net: CameraNet, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of classes and of depths."""
    image, rays, classes, depths = batch
    _, _, said, far = net(image.contiguous(memory_format=torch.channels_last), rays)
    rare = torch.where(classes < NOTHING, RARE, 1.0)
    return class_loss(said, classes, rare), depth_loss(far, depths, rare)


def train(net: CameraNet, rides: Path, schedule: Schedule, half: bool = True, loaders: int = 1,
          said: Callable[[float, str], object] = lambda share, text: None) -> CameraNet:  # fmt: skip
    """One cycle over the clock; the averaged network."""
    torch.manual_seed(schedule.seed)
    net = net.to(memory_format=torch.channels_last).train()
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1 - 1 / AVERAGE_STEPS), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=schedule.rate, weight_decay=0.01)
    batch, began, steps, log = batches(rides, schedule.batch, schedule.seed, loaders), time.monotonic(), 0, []
    while (share := (time.monotonic() - began) / schedule.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(share)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            classes, depths = loss_of(net, batch())
        optimizer.zero_grad(set_to_none=True)
        (classes + depths).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        mean.update_parameters(net)
        steps += 1
        log.append([float(classes.detach()), float(depths.detach())])
        if steps % 20 == 0:
            now = np.asarray(log).mean(axis=0)
            log.clear()
            said(share, f"{steps * schedule.batch} pictures, classes {now[0]:.3f} depths {now[1]:.3f}")
    return mean.module.eval()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rides", type=Path)
    parser.add_argument("checkpoint", type=Path, help="the network to begin with, .pt or .npz")
    parser.add_argument("out", type=Path, help="the network with a camera trained further, .npz")
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    net, samples = restored(options.checkpoint)
    schedule = Schedule(options.seconds, options.batch, options.rate)
    net.camera = train(net.camera, options.rides, schedule,
                       said=lambda share, text: sys.stderr.write(f"{share:6.1%} {text}\n"))  # fmt: skip
    store(net, options.out, samples)


if __name__ == "__main__":
    main()
